"""Functions in model stores, registered and refused as a register statement does, without Spark."""

from __future__ import annotations

from datetime import datetime, timezone

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions
from mlsql_runtime.store.format_version import FORMAT_VERSION
from mlsql_runtime.store.function_records import FunctionRecord, Refusal
from mlsql_runtime.store.functions import add_refusal, read_pointer
from mlsql_runtime.store.manifest import FileEntry, ScriptFacts
from mlsql_runtime.store.versions import read_manifest


def register(root: Location, name: str, version: int, score: float | None = 0.5) -> FunctionRecord:
    """Write a package for group 0 of a version, with its model's files, and have the name point to it."""
    files = read_manifest(root, version).files_below("model/0")

    def record(number: int, pickle: FileEntry) -> FunctionRecord:
        return FunctionRecord(
            format_version=FORMAT_VERSION,
            function=name,
            function_version=number,
            created=read_manifest(root, version).created,
            job_id="job-2",
            contract="row",
            python="3.11",
            pickle=pickle,
            script=ScriptFacts(name="predict.py", sha256="1" * 64),
            model_path=root.uri,
            version=version,
            alg_index=0,
            score=score,
            feature_width=4,
            train_params=None,
            model_files=files,
            packages={},
        )

    made = functions.write_package(root, name, b"pickle of %d" % version, record)
    functions.set_current(root, made, "ann", f"score {score} is at least 0")
    return made


def refuse(root: Location, name: str, version: int) -> None:
    """Record that a gate did not let the version pass."""
    add_refusal(
        root,
        name,
        Refusal(
            version=version,
            alg_index=0,
            score=0.1,
            job_id="job-3",
            at=datetime.now(timezone.utc),
            by="bob",
            reason=f"version {version} is worse",
        ),
    )


def moves(root: Location, name: str = "jack") -> list[int]:
    """Return the versions that a function has pointed to, in order."""
    pointer = read_pointer(root, name)
    assert pointer is not None
    return [move.function_version for move in pointer.history]
