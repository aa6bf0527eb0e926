"""The documents and files of a model store: whatever is in one of them, its readers and those who use what they return hold."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from mlsql_runtime import codec
from mlsql_runtime.feed.table_facts import TableFacts, TableIdentity
from mlsql_runtime.plan import TaskTry
from mlsql_runtime.result import to_xcom
from mlsql_runtime.scoring.function_loader import check_function, load_function
from mlsql_runtime.script.bundle import ENTRY_SCRIPTS, ScriptBundle
from mlsql_runtime.script.kept_project import read_script
from mlsql_runtime.script.resources import download_resources, find_resources
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.claims import read_claim
from mlsql_runtime.store.compare_versions import compare_versions
from mlsql_runtime.store.function_history import read_history, summarize_functions
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.functions import find_versions_in_use, read_function, read_pointers, read_refusals
from mlsql_runtime.store.manifest import FileEntry, Manifest
from mlsql_runtime.store.project_files import pack_files, read_project_files
from mlsql_runtime.store.pruning import choose_pruning
from mlsql_runtime.store.publish import claim_version, find_published_version
from mlsql_runtime.store.rollback import choose_rollback, roll_back
from mlsql_runtime.store.signature import Column, Signature
from mlsql_runtime.store.sources import Source, SourceFiles, TableVersion
from mlsql_runtime.store.staging import Staging
from mlsql_runtime.store.summary import read_details, summarize
from mlsql_runtime.store.verification import check_orphans, check_version, verify_files
from mlsql_runtime.store.version_condition import VersionCondition
from mlsql_runtime.store.version_watch import VersionSearch, VersionWatch
from mlsql_runtime.store.versions import choose_fit, open_store, read_manifest, read_record
from mlsql_runtime.training.group import GroupResult
from mlsql_runtime.training.resume import Progress, StagedData, find_earlier
from support import registrations
from support.fuzz.engine import Kind, Target
from support.fuzz.mutations import mutate_bytes, mutate_json, mutate_zip
from support.stores import T0, fail, make_failure, make_fit_record, make_manifest

PROJECT = dict.fromkeys((*ENTRY_SCRIPTS.values(), "lib/words.py"), b"import mlsql\nprint(mlsql.params()['resource'])\n")
TASK = TaskTry(dag_id="d", task_id="t", map_index=0, run_id="manual__2026-01-01T00:00:00+00:00", try_number=2)
SIGNATURE = Signature(
    features=(Column(name="x", type="double"), Column(name="v", type="vector")),
    label=Column(name="label", type="int"),
    classes=(0, 1),
)
SOURCES = (
    Source(
        table="raw",
        kind="load",
        format="csv",
        path="s3://b/raw.csv",
        options={"header": "true"},
        files=SourceFiles(count=2, size=1 << 20, newest=T0),
    ),
    Source(
        table="lake", kind="table", version=TableVersion(id="7", committed=T0, since="6"), used_for=("training", "validation")
    ),
    Source(table="data", kind="select", sql="select * from raw"),
    Source(table="orders", kind="topic", path="b:9092", offsets={"0": (0, 100), "1": (5, 7)}),
)
FITS = (
    make_fit_record(0, 0.9, metrics={"auc": 0.9, "loss": None}, params={"alpha": "0.1", "resource.words": "/data/words.txt"}),
    make_fit_record(1, None, status="failed", message="it ended with exit code 3", packages={"python": "3.11.7", "numpy": "2.0"}),
)
# What errors name where a reader knows no file any more.
_ABOUT = ("the manifest of version", "in the manifest of the model", "function jack", "function.pickle", "_functions/jack")
FULL: dict[str, Any] = {
    "task": TASK,
    "signature": SIGNATURE,
    "sources": SOURCES,
    "options": {"validateFraction": "0.3"},
    "parameters": {"pythonVer": "3", "timeout": "60", "seed": "7", "archives": "env.tar.gz#env"},
    "envs": {"TF_X": "1"},
    "requirements": "scikit-learn==1.5.2",
    "environment": {"python": "3.11.7"},
}


def _publish(root: Location, **fields: Any) -> int:
    with claim_version(root, "job") as draft:
        (draft.folder / "model/0/model.pickle").write(b"model")
        (draft.folder / "logs/0.log").write(b"a log")
        (draft.folder / layout.PROJECT).write(pack_files(PROJECT))
        draft.publish(make_manifest(draft.version, FITS, files=draft.file_entries(), **fields))
    return draft.version


def make_store(folder: Path) -> Location:
    """Return a model path with three versions, the second with everything, and a function that moved twice."""
    root = Location.of(str(folder / "models" / "digits"))
    _publish(root)
    _publish(root, **FULL)
    fail(root.uri, "all groups failed", task=TASK)
    for version in (1, 2):
        registrations.register(root, "jack", version)
        registrations.refuse(root, "jack", version)
    return root


def _document(name: str, use: Callable[[Location], Any], *more: str) -> Callable[[Path], Target]:
    """Return what makes the target for a file of the store. ``more`` are other files of the store, as samples."""

    def make(folder: Path) -> Target:
        root = make_store(folder)
        place = root / name

        def read(case: bytes) -> Any:
            Path(place.path).write_bytes(case)
            return use(root)

        samples = [(root / each).read() for each in (name, *more)]
        return Target(samples, mutate_json, read, folder, where=(root.uri, *_ABOUT))

    return make


def use_manifest(root: Location) -> bool:
    """Read version 2 in every way, and use what its manifest says."""
    store = open_store(root.uri)
    summary = next(each for each in summarize(store).versions if each.version == 2)
    codec.dumps(summarize(store))
    watch, search = (
        VersionWatch(root),
        VersionSearch(VersionCondition(min_score=0.5, metric="auc", published_after=T0 - timedelta(1))),
    )
    checked = check_version(root, 2, read_pointers(root))  # which does not raise for a damaged manifest
    manifest = read_manifest(root, 2)
    assert len(checked.files) == len(manifest.files)
    assert summary.state == "complete"
    watch.refresh()
    search.answer(watch)
    assert codec.loads(Manifest, codec.dumps(manifest).encode(), "again") == manifest
    to_xcom(manifest.result(root.uri))
    codec.dumps(read_details(store, 2))
    codec.dumps(compare_versions(root, 1, 2))
    find_published_version(root, "job", "training", T0)
    choose_fit(manifest, None, root.uri)
    manifest.train_options, manifest.python.system_params, manifest.task  # noqa: B018
    verify_files(layout.version_dir(root, 2), manifest.files)
    bundle = read_script(None, "predict", root, manifest)
    for fit in manifest.fits:
        _, uris = find_resources({}, bundle, fit.params, "predict")
        local = {name: uri for name, uri in uris.items() if "://" not in uri and "/mlsql-fuzz" not in uri}
        download_resources(
            dict.fromkeys(local, (layout.version_dir(root, 1) / "logs/0.log").uri), Path(root.path) / "got", "fitParam.0"
        )
    return True


def use_failure(root: Location) -> bool:
    """Read the failed version 3 in every way."""
    store = open_store(root.uri)
    codec.dumps(summarize(store))
    read_record(root, 3)
    codec.dumps(read_details(store, 3))
    watch, search = VersionWatch(root), VersionSearch(VersionCondition(min_version=3, published_after=T0 - timedelta(1)))
    watch.refresh()
    search.answer(watch)
    return True


def use_claim(root: Location) -> bool:
    """Read the claim of version 2, as the next attempt of its job does."""
    claim = read_claim(layout.version_dir(root, 2))
    find_published_version(root, "other", "training", T0)
    return claim.job_id is not None


def use_pointer(root: Location) -> bool:
    """Read the function's pointer in every way, and roll it back."""
    codec.dumps(summarize_functions(root))
    pointers = read_pointers(root)
    codec.dumps([pointers.packages_of(1), pointers.packages_of(2)])
    codec.dumps(check_orphans(root, [1, 2], pointers))
    codec.dumps(read_history(root, "jack"))
    find_versions_in_use(root)
    choose_pruning(root, keep=1)
    roll_back(root, choose_rollback(root, "jack"), "ann", "because")
    return True


def use_refusals(root: Location) -> bool:
    """Read the refused registrations."""
    read_refusals(root, "jack")
    codec.dumps(read_history(root, "jack"))
    return True


def use_record(root: Location) -> bool:
    """Read the record of package 1 in every way, and roll back to it."""
    codec.dumps(summarize_functions(root))
    codec.dumps(check_version(root, 1, read_pointers(root)))
    record = read_function(root, "jack", 1)
    assert codec.loads(FunctionRecord, codec.dumps(record).encode(), "again") == record
    check_function(record)
    pointer = (root / layout.FUNCTIONS / "jack" / layout.CURRENT).read()
    try:
        roll_back(root, choose_rollback(root, "jack", 1), "ann")
    finally:
        (root / layout.FUNCTIONS / "jack" / layout.CURRENT).write(pointer)
    return True


def _changed_file(name: str) -> Callable[[Path], Target]:
    """Return what makes the target for a file whose digest a document has: nothing of a changed one may be believed."""

    def make(folder: Path) -> Target:
        root = make_store(folder)
        place = root / name
        good = place.read()
        record = replace(read_function(root, "jack", 2), python=f"{sys.version_info.major}.{sys.version_info.minor}")

        def read(case: bytes) -> Any:
            Path(place.path).write_bytes(case)
            if case == good:
                return True
            if name.startswith(layout.FUNCTIONS):
                load_function(record)
            else:
                manifest = read_manifest(root, 2)
                problems = [each for each in check_version(root, 2, read_pointers(root)).checks if each.problem]
                assert problems, "mlsql models verify finds nothing"
                if name.endswith(layout.PROJECT):
                    read_project_files(root, manifest)
                verify_files(layout.version_dir(root, 2), manifest.files)
            raise AssertionError("a changed file is believed")

        return Target([good], mutate_bytes, read, folder, where=(place.uri,))

    return make


def write_bundle(bundle: ScriptBundle, folder: Path) -> bool:
    """Write a bundle as a group does; nothing may appear beside it."""
    inside = folder / "inside"
    bundle.write_to(inside / "a" / "work")
    assert os.listdir(inside) == ["a"]
    assert os.listdir(inside / "a") == ["work"]
    shutil.rmtree(inside)
    return True


def _kept_project(folder: Path) -> Target:
    """A project in a version whose manifest has the digest of any zip that is there."""
    root = make_store(folder)
    place = layout.version_dir(root, 2) / layout.PROJECT
    manifest = read_manifest(root, 2)

    def read(case: bytes) -> Any:
        Path(place.path).write_bytes(case)
        entry = FileEntry(path=layout.PROJECT, size=len(case), sha256=place.sha256())
        bundle = read_script(None, "predict", root, replace(manifest, files=(entry,)))
        return write_bundle(bundle, folder)

    return Target([place.read()], mutate_zip, read, folder, where=(place.uri,))


def _staged(folder: Path, name: str) -> tuple[Staging, Location]:
    stage = Location.of(str(folder / "staging"))
    facts = TableFacts(rows=7, schema="AAAA", columns={"x": "double"}, width=None, classes=(0, 1.5, "a", True))
    identity = TableIdentity(facts=facts, content="7 abc", uri=str(folder))
    progress = Progress(
        training="t",
        data=StagedData(table=identity, validate=identity),
        sources=SOURCES,
        environment={"python": "3.11"},
        created=T0,
    )
    result = GroupResult(record=FITS[0], tail=("last",), output="/somewhere")
    (stage / "a" / layout.PROGRESS).write(codec.dumps(progress).encode())
    (stage / "b" / layout.PROGRESS).write(codec.dumps(progress).encode())
    (stage / "a" / "fit-0-1" / layout.FINISHED).write(codec.dumps(result).encode())
    return Staging(stage, (stage / "a", stage / "b")), stage / "a" / name


def _resumed(name: str) -> Callable[[Path], Target]:
    def make(folder: Path) -> Target:
        staging, place = _staged(folder, name)

        def read(case: bytes) -> bool:
            Path(place.path).write_bytes(case)
            found = find_earlier(staging, "t", {"python": "3.11"})
            if found.data is not None:
                found.results_on(found.data)
                codec.dumps(found.sources_of(found.data))
            return bool(found.results)

        return Target([place.read()], mutate_json, read, folder)

    return make


def _failure_sample(folder: Path) -> Target:
    made = _document("_model_3/failure.json", use_failure)(folder)
    failed = make_failure(3, "one failed", task=TASK, fits=FITS, tails={"1": ("a", "b")})
    return replace(made, samples=[*made.samples, codec.dumps(failed).encode()])


KINDS = (
    Kind("manifest", _document("_model_2/manifest.json", use_manifest), 2),
    Kind("failure record", _failure_sample),
    Kind("claim of a version", _document("_model_2/claim.json", use_claim)),
    Kind("pointer of a function", _document("_functions/jack/current.json", use_pointer)),
    Kind("refusals of a function", _document("_functions/jack/refusals.json", use_refusals)),
    Kind("record of a function package", _document("_functions/jack/1/function.json", use_record)),
    Kind("pickle of a package, changed", _changed_file("_functions/jack/2/function.pickle")),
    Kind("model file, changed", _changed_file("_model_2/model/0/model.pickle")),
    Kind("kept project, changed", _changed_file("_model_2/project.zip")),
    Kind("kept project", _kept_project),
    Kind("progress of an attempt", _resumed(layout.PROGRESS)),
    Kind("result of a group", _resumed(f"fit-0-1/{layout.FINISHED}")),
)
