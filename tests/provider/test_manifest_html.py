"""The parts of the manifest page that say what a version was trained from, and its signature."""

from __future__ import annotations

from datetime import datetime, timezone

from support.stores import make_fit_record, make_manifest

from airflow_provider_mlsql.pages.html import render_manifests
from airflow_provider_mlsql.pages.manifests import ManifestLookup
from airflow_provider_mlsql.pages.task import TaskKey
from mlsql_runtime.store.signature import Column, Signature
from mlsql_runtime.store.sources import Source, SourceFiles, TableVersion

TIME = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)
SOURCES = (
    Source(table="data", kind="load", format="csv", path="/d", files=SourceFiles(count=20_000, size=1 << 30, newest=TIME)),
    Source(table="shop.orders", kind="table", format="delta", version=TableVersion(id="7", committed=TIME)),
    Source(table="selected", kind="select", sql="select * from data where x < '<script>'"),
)


def page(*sources: Source, signature: Signature | None = None) -> str:
    manifest = make_manifest(1, [make_fit_record(0, 0.5)], sources=sources, signature=signature)
    task = TaskKey(dag_id="d", task_id="t", run_id="r", map_index=-1)
    return render_manifests(task, [ManifestLookup(model_path="/m", version=1, manifest=manifest)], "/task")


def test_sources_are_shown() -> None:
    text = page(*SOURCES)
    for part in (
        "<td>data</td><td>load</td>",
        "path <code>/d</code><br>files <code>20,000</code><br>bytes <code>1,073,741,824</code><br>"
        "newest file <code>2026-01-02 03:04:00 UTC</code>",
        "format <code>delta</code><br>version <code>7</code><br>",
        "sql <code>select * from data where x &lt; &#39;&lt;script&gt;&#39;</code>",
    ):
        assert part in text
    assert "<script" not in text


def test_versions_from_before_sources_have_no_such_part() -> None:
    assert "Sources" not in page()


def test_the_signature_is_shown() -> None:
    text = page(signature=Signature(features=(Column(name="<age>", type="bigint"),), label=Column(name="y", type="string")))
    assert '<tr><th scope="row">signature: features</th><td>&lt;age&gt; bigint</td></tr>' in text
    assert '<tr><th scope="row">signature: label</th><td>y string</td></tr>' in text
