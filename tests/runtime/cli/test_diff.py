"""``mlsql models diff`` over real model paths."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.model_commands import EVERY_STORAGE, TIME, PublishSources

from mlsql_runtime import codec
from mlsql_runtime.cli.main import main
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import DataFacts, FileEntry, FitRecord, Manifest, ScriptFacts
from mlsql_runtime.store.project_files import pack_files
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.store.signature import Column, Signature
from mlsql_runtime.store.sources import Source, SourceFiles, TableVersion
from mlsql_runtime.store.versions import read_manifest

Capture = pytest.CaptureFixture[str]
Make = Callable[..., Manifest]
PACKAGES = {"python": "3.11.0", "numpy": "2.4.6"}


@pytest.fixture
def two_versions(manifest_of: Callable[..., Manifest], fit_record: Callable[..., FitRecord]) -> Callable[..., None]:
    """Publish a version, and a second one with other facts."""

    def make(root: Location, **other: Any) -> None:
        for changes in ({}, other):
            with claim_version(root, "job-1") as draft:
                fits = [replace(fit_record(index, 0.5), packages=PACKAGES) for index in range(2)]
                for fit in fits:
                    (draft.folder / f"model/{fit.alg_index}/model.bin").write(b"weights")
                draft.publish(replace(manifest_of(draft.version, fits, draft.file_entries()), **changes))

    return make


def diff(capsys: Capture, root: Location, *versions: str) -> Any:
    assert main(["models", "diff", root.uri, *versions, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def differences(document: Any) -> list[tuple[Any, ...]]:
    return [tuple(each.values()) for each in document["differences"]]


@EVERY_STORAGE
def test_equal_versions_differ_in_nothing(root: Location, two_versions: Make, capsys: Capture) -> None:
    two_versions(root)
    document = diff(capsys, root, "1", "2")
    assert document == {
        "model_path": root.uri,
        "before": {
            "version": 1,
            "created": "2024-05-01T12:00:00+00:00",
            "job_id": "job-1",
            "best": {"alg_index": 0, "score": 0.5},
        },
        "after": document["before"] | {"version": 2},
        "differences": [],
        "changed_sources": [],
    }
    assert main(["models", "diff", root.uri, "1", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("nothing else differs")


def test_everything_that_can_differ_is_listed(
    root: Location, two_versions: Make, fit_record: Callable[..., FitRecord], capsys: Capture
) -> None:
    changed = replace(
        fit_record(0, 0.75),
        params={"alpha": "0.5", "depth": "3"},
        metrics={"loss": 0.125, "auc": None},
        packages=PACKAGES | {"numpy": "2.5.0", "lightgbm": "4.6.0"},
    )
    two_versions(
        root,
        script=ScriptFacts(name="train.py", sha256="f" * 64),
        parameters={"pythonVer": "3.11", "seed": "7"},
        greater_is_better=False,
        data=DataFacts(rows=151, validate_rows=0, columns={"x": "vector"}, feature_column="x", feature_width=5),
        fits=(changed,),
    )
    assert differences(diff(capsys, root, "1", "2")) == [
        ("best", "score", 0.5, 0.75),
        ("best", "greater is better", True, False),
        ("script", "SHA-256", "0" * 64, "f" * 64),
        ("parameters", "pythonVer", "3", "3.11"),
        ("parameters", "seed", None, "7"),
        ("data", "rows", 150, 151),
        ("data", "feature column", "features", "x"),
        ("data", "feature width", 4, 5),
        ("columns", "features", "vector", None),
        ("columns", "x", None, "vector"),
        ("group 0", "score", 0.5, 0.75),
        ("group 0", "parameter alpha", "0.1", "0.5"),
        ("group 0", "metric loss", 0.25, 0.125),
        ("group 0", "parameter depth", None, "3"),
        ("group 1", "status", "success", None),
        ("group 1", "score", 0.5, None),
        ("group 1", "parameter alpha", "0.1", None),
        ("group 1", "metric loss", 0.25, None),
        ("packages", "numpy", "2.4.6", "2.5.0"),
        ("packages", "lightgbm", None, "4.6.0"),
    ]


def test_files_of_changed_projects_are_listed(local_root: Location, two_versions: Make, capsys: Capture) -> None:
    two_versions(local_root, script=ScriptFacts(name="train.py", sha256="f" * 64))
    for number, source in ((1, b"1"), (2, b"2")):
        folder = layout.version_dir(local_root, number)
        (folder / layout.PROJECT).write(pack_files({"train.py": source, "same.py": b"", f"only_{number}.py": b""}))
        entry = FileEntry(path=layout.PROJECT, size=0, sha256=(folder / layout.PROJECT).sha256())
        manifest = read_manifest(local_root, number)
        (folder / layout.MANIFEST).write(codec.dumps(replace(manifest, files=(*manifest.files, entry))).encode())
    found = [
        (name, before and before[:4], after and after[:4])
        for _, name, before, after in differences(diff(capsys, local_root, "1", "2"))
    ]
    assert found == [
        ("SHA-256", "0000", "ffff"),
        ("SHA-256 of only_1.py", "e3b0", None),
        ("SHA-256 of train.py", "6b86", "d473"),
        ("SHA-256 of only_2.py", None, "e3b0"),
    ]


def test_people_read_a_table(local_root: Location, two_versions: Make, capsys: Capture) -> None:
    two_versions(local_root, parameters={"pythonVer": "3.11"}, script=ScriptFacts(name="train.py", sha256="f" * 64))
    assert main(["models", "diff", local_root.uri, "2", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"model path  {local_root.uri}",
        "version 2   published 2024-05-01 12:00 (UTC) by job-1, best is group 0 with score 0.5",
        "version 1   published 2024-05-01 12:00 (UTC) by job-1, best is group 0 with score 0.5",
        "",
        "about       what       version 2      version 1",
        "script      SHA-256    ffffffffffff…  000000000000…",
        "parameters  pythonVer  3.11           3",
    ]


def test_versions_that_are_not_complete_are_refused(
    local_root: Location, two_versions: Make, fail: Callable[..., int], capsys: Capture
) -> None:
    two_versions(local_root)
    fail(local_root)
    assert main(["models", "diff", local_root.uri, "1", "3"]) == 2
    assert "version 3 (its training failed)" in capsys.readouterr().err


def test_tables_whose_data_have_changed_are_named(local_root: Location, publish_sources: PublishSources, capsys: Capture) -> None:
    files = Source(table="data", kind="load", format="csv", path="/d", files=SourceFiles(count=2, size=2048, newest=TIME))
    orders = Source(table="shop.orders", kind="table", version=TableVersion(id="7"))
    long = "select label, " + ", ".join(f"x{number}" for number in range(20)) + " from shop.orders where day = "
    same = Source(table="same", kind="load", path="/s", content="a" * 64)
    query = Source(table="t", kind="select", sql=f"{long}'1'")
    publish_sources(local_root, files, orders, same, query)
    more = replace(files, files=SourceFiles(count=3, size=4096, newest=TIME))
    newer = replace(orders, version=TableVersion(id="9", since="8"))
    publish_sources(local_root, more, newer, same, replace(query, sql=f"{long}'2'"))
    assert main(["models", "diff", local_root.uri, "1", "2"]) == 0
    assert [re.split("  +", line) for line in capsys.readouterr().out.splitlines()[5:]] == [
        ["load data", "files", "2", "3"],
        ["load data", "bytes", "2048", "4096"],
        ["table shop.orders", "version", "7", "9"],
        ["table shop.orders", "version when the job began", "none", "8"],
        ["select t", "sql", "…from shop.orders where day = '1'", "…from shop.orders where day = '2'"],
        [""],
        ["the stored data of data, shop.orders have changed between the two trainings"],
    ]
    document = diff(capsys, local_root, "1", "2")
    assert document["changed_sources"] == ["data", "shop.orders"]
    assert differences(document)[-1] == ("select t", "sql", f"{long}'1'", f"{long}'2'")
    publish_sources(local_root)
    assert diff(capsys, local_root, "1", "3")["changed_sources"] == []


def test_signatures_are_compared(local_root: Location, publish_sources: PublishSources, capsys: Capture) -> None:
    age, income = Column(name="age", type="bigint"), Column(name="income", type="double")
    publish_sources(local_root, signature=Signature(features=(age, income)))
    publish_sources(local_root, signature=Signature(features=(income, age), label=age, classes=(1, 2)))
    assert differences(diff(capsys, local_root, "1", "2")) == [
        ("signature", "features", "age bigint, income double", "income double, age bigint"),
        ("signature", "classes", None, "1, 2"),
        ("signature", "label", None, "age bigint"),
    ]
