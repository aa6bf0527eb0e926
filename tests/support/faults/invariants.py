"""What must hold after a job, its retries included, whatever happened to it.

This reads the store's files, the process table and the broker by itself: nothing of the code that wrote them is used.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from support.faults.processes import command

_MANIFEST = "manifest.json"
_OWN_FILES = {"claim.json", _MANIFEST}  # of a version, and not in its manifest
_NAMES = re.compile(r"_model_\d+|_functions|_staging")
_POLL_SECONDS = 0.2


def check_store(root: Path) -> Iterator[str]:
    """Yield what is wrong below a model path."""
    for folder in sorted(root.glob("_model_*")):
        yield from _check_version(folder)
    for folder in sorted(root.glob("_functions/*")):
        yield from _check_function(folder)
    for path in sorted(root.glob("_staging/*")):
        yield f"{path.relative_to(root)} is left"
    for path in sorted(root.iterdir()) if root.exists() else ():
        if not _NAMES.fullmatch(path.name):
            yield f"{path.name} does not belong into a model path"


class StoreWatch:
    """Looks at a model path again and again while a job runs: a version or a function must be whole when it is first seen."""

    def __init__(self, root: Path) -> None:
        self.violations: list[str] = []
        self._root, self.seen, self._is_over = root, set[tuple[Path, bytes]](), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> StoreWatch:
        list(self._look())  # what is there already was seen before
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(_POLL_SECONDS):
            for file in self._look():
                document, problem = _read(file)
                if document is None:
                    wrong = [problem or f"{file.name} is gone"]
                elif file.name == _MANIFEST:
                    wrong = list(_check_files(file.parent, document))
                else:
                    wrong = list(_check_function(file.parent))
                self.violations += [f"{each}, when it is first seen" for each in wrong]

    def _look(self) -> Iterator[Path]:
        """Yield the manifests and pointers that are new, or others than before."""
        for file in [*self._root.glob(f"_model_*/{_MANIFEST}"), *self._root.glob("_functions/*/current.json")]:
            if (seen := (file, file.read_bytes())) not in self.seen:
                self.seen.add(seen)
                yield file


def read_manifests(root: Path) -> dict[int, dict[str, Any]]:
    """Return the manifests of complete versions."""
    return {int(path.parent.name.rpartition("_")[2]): json.loads(path.read_text()) for path in root.glob(f"_model_*/{_MANIFEST}")}


def _check_version(folder: Path) -> Iterator[str]:
    """A version is complete, or failed with a record of it, or has nothing but its claim and files that nobody sees."""
    manifest, problem = _read(folder / _MANIFEST)
    if problem:
        yield problem
    if manifest is None:
        return
    if (folder / "failure.json").exists():
        yield f"{folder.name} is complete and failed"
    listed = {each["path"] for each in manifest["files"]}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in sorted(found - listed - _OWN_FILES):
        yield f"{folder.name}/{name} is not in the manifest"
    yield from _check_files(folder, manifest)


def _check_files(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Each file of a manifest is there, and is what the manifest says."""
    for entry in manifest["files"]:
        if not (folder / entry["path"]).exists():
            yield f"{folder.name}/{entry['path']} is missing"
        elif not _is(folder / entry["path"], entry):
            yield f"{folder.name}/{entry['path']} is not what the manifest says"


def _check_function(folder: Path) -> Iterator[str]:
    """The pointer of a function means a package that is whole."""
    pointer, problem = _read(folder / "current.json")
    if problem:
        yield problem
    for move in pointer["history"] if pointer is not None else ():
        package = folder / str(move["function_version"])
        record, problem = _read(package / "function.json")
        if problem:
            yield problem
        if record is None:
            yield f"{folder.name} has pointed to package {package.name}, which is not whole"
        elif not _is(package / record["pickle"]["path"], record["pickle"]):
            yield f"{folder.name}/{package.name}: the pickle is not what function.json says"


def _read(file: Path) -> tuple[dict[str, Any] | None, str | None]:
    """Return a JSON document and what is wrong with it; neither if there is no such file."""
    if not file.exists():
        return None, None
    try:
        document: dict[str, Any] = json.loads(file.read_bytes())
    except ValueError:
        return None, f"{file.parent.name}/{file.name} cannot be read"
    return document, None


def _is(file: Path, entry: dict[str, Any]) -> bool:
    """Return whether a file has the size and the digest of its entry; an entry without them describes no file."""
    if not file.exists():
        return False
    content = file.read_bytes()
    return (len(content), hashlib.sha256(content).hexdigest()) == (entry.get("size"), entry.get("sha256"))


def check_rows(root: Path, *tables: Sequence[int]) -> Iterator[str]:
    """Yield what is wrong with the rows of complete versions whose scripts have reported what they saw of the ids in a table.

    :param tables: the ids of the table; more if the job may have read it as it was at another time.
    """
    for number, manifest in read_manifests(root).items():
        found = [list(_check_rows(number, manifest, table)) for table in tables]
        if all(found):
            yield from found[0]


def _check_rows(number: int, manifest: dict[str, Any], ids: Sequence[int]) -> Iterator[str]:
    expected = {"rows": float(len(ids)), "sum": float(sum(ids)), "different": float(len(ids))}
    if manifest["data"]["rows"] != len(ids):
        yield f"version {number} was trained on {manifest['data']['rows']} rows, not on {len(ids)}"
    for fit in manifest["fits"]:
        if fit["status"] == "success" and fit["metrics"] != expected:
            yield f"group {fit['alg_index']} of version {number} saw {fit['metrics']}, not {expected}"


def check_predictions(folder: Path, factor: float, *tables: Sequence[int]) -> Iterator[str]:
    """Yield what is wrong with written predictions: one row for each id of a table, with the value that the model gives."""
    if not list(folder.glob("*.parquet")):
        yield "there are no predictions"
        return
    found = pq.read_table(folder).to_pydict()
    if sorted(found["id"]) not in [sorted(table) for table in tables]:
        yield f"predictions of {len(found['id'])} rows, {len(set(found['id']))} different ones, not of {len(tables[0])}"
    wrong = [id for id, value in zip(found["id"], found["prediction"], strict=True) if value != factor * id]
    if wrong:
        yield f"predictions of {len(wrong)} rows are wrong, such as that of {wrong[0]}"
    for path in folder.rglob("_temporary*"):
        yield f"{path.relative_to(folder.parent)} is left"


def check_left(folder: Path, names: str = ".*") -> Iterator[str]:
    """Yield the files and folders that jobs have left in a temporary folder.

    :param names: a pattern of their names.
    """
    for path in sorted(folder.iterdir()):
        if re.fullmatch(names, path.name):
            yield f"{path.name} is left in the temporary folder"


def check_processes(find: Callable[[], Iterable[psutil.Process]], seconds: float) -> Iterator[str]:
    """Yield the processes that still run after some seconds, and end them."""
    deadline = time.monotonic() + seconds
    while (left := list(find())) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for process in left:
        yield f"a process is left: {command(process)[:120]}"
        process.kill()


def check_topics(bootstrap: str, prefix: str) -> Iterator[str]:
    """Yield the topics and groups whose names begin with a prefix."""
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=60_000)
    try:
        for name in admin.list_topics():
            if name.startswith(prefix):
                yield f"topic {name} is left"
        brokers = [each["broker_id"] for each in admin.describe_cluster()["brokers"]]
        for group in admin.list_groups(broker_ids=brokers):
            if group["group_id"].startswith(prefix):
                yield f"group {group['group_id']} is left"
    finally:
        admin.close()
