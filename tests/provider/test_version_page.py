"""The page of a version: the verdict, the groups, what it was trained from, what differs; all of it escaped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from support.registrations import refuse, register
from support.stores import fail, make_failure, make_fit_record, make_manifest, publish

from airflow_provider_mlsql.pages.html import render_message, render_page
from airflow_provider_mlsql.pages.lookup import look_up
from airflow_provider_mlsql.pages.model_list import ModelEntry, ModelReader
from airflow_provider_mlsql.pages.task import TaskKey
from airflow_provider_mlsql.pages.version_view import VersionView, read_version_view
from airflow_provider_mlsql.xcom_versions import ModelVersion
from mlsql_runtime.plan import TaskTry
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.curve_files import encode_curves
from mlsql_runtime.store.curves import Curve
from mlsql_runtime.store.manifest import DataFacts, FileEntry, ImportFacts, ScriptFacts
from mlsql_runtime.store.overview import VersionCache
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.store.rollback import choose_rollback, roll_back
from mlsql_runtime.store.signature import Column, Signature
from mlsql_runtime.store.sources import Source, SourceFiles, TableVersion

TIME = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)
TASK = TaskTry(dag_id="nightly", task_id="train", map_index=2, run_id="run 1", try_number=1)
HOSTILE = "<script>alert(1)</script>"
SOURCES = (
    Source(table="data", kind="load", format="csv", path="/d", files=SourceFiles(count=20_000, size=1 << 30, newest=TIME)),
    Source(table="shop.orders", kind="table", format="delta", version=TableVersion(id="7", committed=TIME)),
    Source(table="selected", kind="select", sql="select * from data where x < '<script>'"),
)


@pytest.fixture
def root(tmp_path: Path) -> Location:
    return Location.of(str(tmp_path / "m"))


def publish_with(root: Location, *fits: Any, curves: Mapping[str, Any] | None = None, **fields: Any) -> None:
    """Publish a version with these fit groups and fields of its manifest."""
    with claim_version(root, "job") as draft:
        for fit in fits or (make_fit_record(0, 0.5),):
            (draft.folder / f"model/{fit.alg_index}/model.pickle").write(b"model")
            if fit.status != "success":
                (draft.folder / f"logs/{fit.alg_index}.log").write(b"last words")
        if curves:
            (draft.folder / "curves.json").write(encode_curves(curves))
        fields = {"files": draft.file_entries()} | fields
        draft.publish(make_manifest(draft.version, fits or (make_fit_record(0, 0.5),), **fields))


def page(root: Location, version: int, against: int | None = None, readable: bool = True) -> str:
    found = look_up(ModelVersion(root.uri, version), against).hide_task(lambda dag_id: readable)
    return render_page("version.html", task=None, found=[found])


def verdict(root: Location, version: int) -> list[tuple[str, str]]:
    view: VersionView = read_version_view(root.uri, version)
    return [(color, sentence.partition(" since ")[0].partition(": refused")[0]) for color, sentence in view.verdict]


def test_the_verdict_says_what_became_of_each_version(root: Location) -> None:
    for score in (1.0, 0.94, 0.5, 0.6):
        publish(root.uri, score)
    register(root, "jack", 1, 1.0)
    refuse(root, "jack", 2)
    register(root, "jill", 3)
    refuse(root, "june", 2)
    fail(root.uri, "all groups failed")
    assert verdict(root, 1) == [("good", "jack is this version")]
    assert verdict(root, 2) == [("bad", "jack stays at version 1 (1)"), ("bad", "june was not registered")]
    assert verdict(root, 4) == [("soft", "No function was registered from this version.")]
    assert verdict(root, 5)[0] == ("bad", "The training failed. all groups failed")
    assert verdict(root, 5)[1:] == [("soft", "jack stays at version 1 (1)."), ("soft", "jill stays at version 3 (0.5).")]
    register(root, "jack", 4)
    roll_back(root, choose_rollback(root, "jack"), "ann", "too slow")
    assert verdict(root, 1) == [("good", "jack is this version")]
    assert verdict(root, 4) == [("soft", "jack was this version, and is version 1 (1)")]


def test_an_imported_version_says_where_it_comes_from(root: Location) -> None:
    publish_with(root, imported=ImportFacts(format="mlflow", source="models:/spam/3", by="ann@host", facts={"run_id": HOSTILE}))
    register(root, "jack", 1)
    assert verdict(root, 1) == [
        ("soft", f"Imported, not trained here: mlflow model models:/spam/3 (run_id {HOSTILE}), by ann@host."),
        ("good", "jack is this version"),
    ]
    assert "mlflow model models:/spam/3" in (text := page(root, 1))
    assert HOSTILE not in text


def test_the_reason_of_a_refusal_is_on_the_page(root: Location) -> None:
    publish(root.uri, 1.0)
    publish(root.uri, 0.94)
    register(root, "jack", 1, 1.0)
    refuse(root, "jack", 2)
    assert "jack stays at version 1 (1): refused 2" in (text := page(root, 2))
    assert "by bob: version 2 is worse." in text


def test_a_failed_training_has_its_reasons_its_last_lines_and_its_logs(root: Location) -> None:
    fail(root.uri, "1 of 1 fit groups failed", task=TASK)
    text = page(root, 1)
    assert "The training failed. 1 of 1 fit groups failed" in text
    assert '<pre class="tail">last words</pre>' in text
    assert '<a href="/dags/nightly/runs/run%201/tasks/train/mapped/2">nightly.train[2]</a>' in text


def test_tasks_of_dags_that_the_user_must_not_see_are_not_named(root: Location) -> None:
    fail(root.uri, "no good", task=TASK)
    publish_with(root, task=TASK, job_id="nightly.train/7")
    for version in (1, 2):
        assert "nightly" in page(root, version)
        assert "nightly" not in page(root, version, readable=False)


def test_groups_have_bars_parameters_and_curves(root: Location) -> None:
    fits = [make_fit_record(i, score, params={"alpha": str(i), "solver": "x"}) for i, score in enumerate((0.25, 0.5))]
    fits.append(make_fit_record(2, None, status="failed", message="it ended", params={"alpha": "2"}))
    curve = Curve(steps=(0, 10), values=(0.5, 0.25), reports=2)
    publish_with(root, *fits, curves={"0": {"loss": curve}, "2": {"loss": curve}})
    text = page(root, 1)
    assert '<rect x="0.00" width="50.00" height="10"/>' in text
    assert '<rect x="0.00" width="100.00" height="10"/>' in text
    assert "<figcaption>score over alpha</figcaption>" in text
    assert "score over solver" not in text
    assert "<figcaption>loss</figcaption>" in text
    assert '<tr><td class="number">10</td><td class="number">0.25</td><td class="number">0.25</td></tr>' in text
    assert f"/mlsql/log?path={root.uri.replace('/', '%2F')}&amp;version=1&amp;group=2" in text
    assert "group=0" not in text  # of which no log is kept


def test_sources_are_shown(root: Location) -> None:
    publish_with(root, sources=SOURCES)
    text = page(root, 1)
    for part in (
        "<td>data</td><td>load</td>",
        "path <code>/<wbr>d</code><br>files <code>20,000</code><br>bytes <code>1,073,741,824</code><br>"
        "newest file <code>2026-01-02 03:04:00 UTC</code>",
        "format <code>delta</code><br>version <code>7</code><br>",
        "sql <code>select * from data where x &lt; &#39;&lt;script&gt;&#39;</code>",
    ):
        assert part in text
    assert "x < '<script>" not in text


def test_versions_from_before_sources_have_no_such_part(root: Location) -> None:
    publish_with(root)
    assert "<h2>Sources</h2>" not in page(root, 1)


def test_the_signature_is_shown(root: Location) -> None:
    publish_with(
        root, signature=Signature(features=(Column(name="<age>", type="bigint"),), label=Column(name="y", type="string"))
    )
    text = page(root, 1)
    assert '<tr><th scope="row">signature: features</th><td>&lt;age&gt; bigint</td></tr>' in text
    assert '<tr><th scope="row">signature: label</th><td>y string</td></tr>' in text


def test_what_differs_from_another_version(root: Location) -> None:
    publish_with(root, make_fit_record(0, 0.5, params={"alpha": "1"}))
    publish_with(root, make_fit_record(0, 0.75, params={"alpha": "<2>"}))
    fail(root.uri, "no good")
    text = page(root, 2, against=1)
    changed = '<td class="what">parameter alpha</td><td class="text">1</td><td class="text">&lt;2&gt;</td>'
    assert f'<td class="what">group 0</td>{changed}' in text
    assert "holds no complete version 3 (its training failed)" in page(root, 2, against=3)
    assert "What changed since version 1" in page(root, 2)


def test_whatever_scripts_files_and_people_are_called_is_escaped(tmp_path: Path) -> None:
    """Every text of the store that a page shows is hostile."""
    root, quotes = Location.of(str(tmp_path / "<u>m")), "'\"><u>"
    curve = Curve(steps=(0, 1), values=(0.5, 0.25), reports=2)
    task = TaskTry(dag_id=HOSTILE, task_id=HOSTILE, map_index=None, run_id=HOSTILE, try_number=1)
    params, metrics = {HOSTILE: "0", quotes: HOSTILE}, {HOSTILE: 0.5, quotes: 0.25}
    fits = [
        make_fit_record(0, 0.5, metrics=metrics, params=params, message=HOSTILE, packages={HOSTILE: HOSTILE}),
        make_fit_record(1, 1.5, metrics=metrics, params={**params, HOSTILE: "1"}, message=HOSTILE, packages={HOSTILE: quotes}),
    ]
    column = Column(name=HOSTILE, type=HOSTILE)
    for differs in (HOSTILE, quotes):
        with claim_version(root, HOSTILE) as draft:
            for index in range(2):
                (draft.folder / f"model/{index}/<img src=x>").write(b"model")
            (draft.folder / "curves.json").write(encode_curves({"0": {HOSTILE: curve, quotes: curve}}))
            manifest = make_manifest(
                draft.version,
                fits,
                job_id=HOSTILE,
                files=(*draft.file_entries(), FileEntry(path=HOSTILE, size=1, sha256=HOSTILE)),
                task=None if differs == quotes else task,
                description=HOSTILE,
                script=ScriptFacts(name=differs, sha256=differs),
                parameters={HOSTILE: differs},
                environment={HOSTILE: HOSTILE},
                data=DataFacts(rows=1, validate_rows=1, columns={HOSTILE: HOSTILE}, feature_column=HOSTILE, feature_width=1),
                signature=Signature(features=(column,), label=column, classes=(HOSTILE, quotes)),
                sources=(
                    Source(
                        table=HOSTILE, kind="table", path=HOSTILE, options={HOSTILE: HOSTILE}, version=TableVersion(id=differs)
                    ),
                    Source(table=quotes, kind="select", sql=differs),
                ),
            )
            (draft.folder / HOSTILE).write(b"x")
            draft.publish(manifest)
    with claim_version(root, HOSTILE) as draft:
        failed = [make_fit_record(0, None, status="failed", message=HOSTILE, params=params)]
        draft.fail(make_failure(draft.version, HOSTILE, fits=failed, tails={quotes: (HOSTILE, quotes)}, task=task))
    for _ in range(3):
        register(root, "<i>jill", 1)
    roll_back(root, choose_rollback(root, "<i>jill"), HOSTILE, HOSTILE)
    refuse(root, "<i>jack", 1)
    (root / "_functions/<i>june/current.json").write(b"{")
    view = ModelReader(VersionCache()).read(root.uri, 100)
    values = {"metric": HOSTILE, "x": "version", "versions": 100, "most": 1000}
    entries = [ModelEntry(root.uri, view), ModelEntry(HOSTILE, None, HOSTILE)]
    asked = TaskKey(dag_id=HOSTILE, run_id=HOSTILE, task_id=HOSTILE)
    pages = [
        *(page(root, version, against) for version, against in ((1, 2), (2, 1), (2, 3), (3, None), (4, None))),
        render_page("version.html", task=asked, found=[look_up(ModelVersion(root.uri, 1))]),
        render_page("model.html", view=view, chart=view.make_chart(HOSTILE, is_time=False), **values),
        render_page("models.html", entries=entries, page=2, pages=3, count=2, wanted=HOSTILE),
        render_page("models.html", entries=[], page=1, pages=1, count=0, wanted=HOSTILE),
        render_message(401, HOSTILE, f"/login?next={HOSTILE}", [(HOSTILE, HOSTILE)]),
    ]
    for text in pages:
        assert "&lt;script&gt;alert(1)&lt;" in text or "&lt;u&gt;" in text
        for tag in ("<script>alert", "<img src=x", "<u>", "<i>j"):
            assert tag not in text


def test_a_version_that_does_not_exist_says_why(root: Location) -> None:
    publish(root.uri, 0.5)
    publish(root.uri, 0.5)
    shutil.rmtree(f"{root.uri}/_model_1")
    assert "no longer holds version 1: a later training with keep_versions" in page(root, 1)
    assert "has no version 7; the newest is 2" in page(root, 7)


def test_programs_get_verdict_and_details_of_failed_versions_too(root: Location) -> None:
    fail(root.uri, "no good", task=TASK)
    document = look_up(ModelVersion(root.uri, 1)).hide_task(lambda dag_id: False).document
    assert document["verdict"] == ["The training failed. no good"]
    details: Any = document["details"]
    assert (details["state"], details["task"], details["job_id"]) == ("failed", None, None)
    assert "has no version 2" in str(look_up(ModelVersion(root.uri, 2)).document["problem"])
