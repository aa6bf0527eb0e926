from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.stores import latest_version

from mlsql_runtime.errors import StorageError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.pruning import STALE, prune
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.store.versions import read_manifest, read_states

Publish = Callable[..., Manifest]


@pytest.mark.parametrize(("keep", "left"), [(None, [5, 4, 3, 2, 1]), (9, [5, 4, 3, 2, 1]), (2, [5, 4]), (1, [5])])
def test_prune_keeps_the_newest(local_root: Location, publish: Publish, keep: int | None, left: list[int]) -> None:
    for _ in range(5):
        publish(local_root)
    removed = prune(local_root, keep)
    assert sorted(removed) == sorted({1, 2, 3, 4, 5} - set(left))
    assert list(read_states(local_root)) == left
    assert [read_manifest(local_root, version).version for version in left] == left


def test_prune_keeps_what_a_function_points_to(root: Location, publish: Publish, package: Callable[..., FunctionRecord]) -> None:
    for _ in range(4):
        publish(root)
    for name, version in [("jack", 1), ("jack", 2), ("jill", 3)]:
        functions.set_current(root, package(root, name, version))
    assert prune(root, 1) == [1]
    assert list(read_states(root)) == [4, 3, 2]


def test_prune_counts_complete_versions_only(root: Location, publish: Publish, fail: Callable[..., int]) -> None:
    publish(root)
    publish(root)
    fail(root)
    with claim_version(root, "running"):
        assert prune(root, 1) == [1]
        assert list(read_states(root).items()) == [(4, "unfinished"), (3, "failed"), (2, "complete")]


def test_prune_removes_the_manifest_first(local_root: Location, publish: Publish) -> None:
    """A reader in another thread lists and verifies all the while: a version with a manifest is whole."""
    for _ in range(12):
        publish(local_root, *[0.5] * 8)
    stop = threading.Event()
    half: list[str] = []

    def read() -> None:
        while not stop.is_set():
            for number in range(1, 13):
                folder = local_root / f"_model_{number}"
                before = (folder / "model/7/model.bin").exists() and (folder / "model/0/model.bin").exists()
                if (folder / "manifest.json").exists() and not before:
                    half.append(folder.uri)

    reader = threading.Thread(target=read)
    reader.start()
    removed = prune(local_root, 1)
    stop.set()
    reader.join()
    assert len(removed) == 11
    assert half == []


def test_prune_removes_what_dead_jobs_left_long_ago(local_root: Location, publish: Publish) -> None:
    publish(local_root)
    names = ("_model_2", "_model_3", "_model_4", "_staging/old-1", "_staging/new-1")
    for name in names:
        (local_root / name / "claim.json").write(b"{}")
        (local_root / name / "half").write(b"x")
    long_ago = time.time() - STALE.total_seconds() - 60
    for name in ("_model_1", "_model_2", "_model_4", "_staging/old-1"):
        for file in (local_root / name).list_files():
            os.utime(f"{local_root.path}/{name}/{file}", (long_ago, long_ago))
    (local_root / "_model_4/fresh").write(b"x")  # claimed long ago and still at work
    assert prune(local_root, None) == []
    assert [name for name in names if (local_root / name).exists()] == ["_model_3", "_model_4", "_staging/new-1"]
    assert latest_version(local_root) == 1


def test_prune_removes_no_version_whose_manifest_the_disk_cannot_look_at(local_root: Location, publish: Publish) -> None:
    publish(local_root)
    publish(local_root)
    manifest = Path(local_root.path) / "_model_1" / "manifest.json"
    manifest.rename(manifest.with_name("kept.json"))
    manifest.symlink_to(manifest.name)  # a loop, at which a look fails though it is there
    _age(local_root / "_model_1")
    with pytest.raises(StorageError, match=r"_model_1/manifest\.json"):
        prune(local_root, None)
    assert "kept.json" in (local_root / "_model_1").list_names()


def test_prune_spares_an_unfinished_version_that_a_function_needs(
    local_root: Location, publish: Publish, package: Callable[..., FunctionRecord]
) -> None:
    publish(local_root)
    functions.set_current(local_root, package(local_root, "jack", 1))
    (local_root / "_model_1" / "manifest.json").remove_file()
    _age(local_root / "_model_1")
    prune(local_root, None)
    assert (local_root / "_model_1").exists()


def _age(folder: Location) -> None:
    """Let all files be so old that nobody can be at work on them."""
    long_ago = time.time() - STALE.total_seconds() - 60
    for name in folder.list_names():
        if os.path.exists(file := f"{folder.path}/{name}"):
            os.utime(file, (long_ago, long_ago))


def test_prune_of_nothing_does_nothing(root: Location) -> None:
    assert prune(root, 1) == []
    assert not root.exists()


def test_prune_spares_the_version_that_is_the_answer(root: Location, publish: Publish) -> None:
    for _ in range(3):
        publish(root)
    assert prune(root, 1, spare=1) == [2]
