"""mlsql models prune: what may go, and what may not."""

from __future__ import annotations

import os
import random

import pytest
from support.model_commands import EVERY_STORAGE, Capture, Fail, Package, Publish, from_json

from mlsql_runtime.cli.main import main
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions, layout
from mlsql_runtime.store.versions import read_manifest


@EVERY_STORAGE
def test_a_dry_run_removes_nothing_and_says_the_same(root: Location, publish: Publish, package: Package, capsys: Capture) -> None:
    for _ in range(5):
        publish(root)
    for name in ("jack", "jill"):
        functions.set_current(root, package(root, name, 2))
    before = root.list_files()
    assert main(["models", "prune", root.uri, "--keep", "2", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed == "would remove 2 versions: 3, 1\nwould keep version 2: jack, jill point to it\n"
    dry = from_json(capsys, "models", "prune", root.uri, "--keep", "2", "--dry-run")
    assert root.list_files() == before
    real = from_json(capsys, "models", "prune", root.uri, "--keep", "2")
    assert real == {**dry, "dry_run": False}
    assert real["removed"] == [3, 1]
    assert real["pinned"] == [{"version": 2, "functions": ["jack", "jill"]}]
    assert layout.list_claimed_versions(root) == [2, 4, 5]
    assert main(["models", "prune", root.uri, "--keep", "2"]) == 0
    assert capsys.readouterr().out == "removed no version\nkept version 2: jack, jill point to it\n"


@pytest.mark.parametrize("seed", range(8))
def test_a_prune_never_removes_what_a_function_points_to(
    local_root: Location, publish: Publish, fail: Fail, package: Package, seed: int, capsys: Capture
) -> None:
    dice = random.Random(seed)
    complete = []
    for _ in range(dice.randint(1, 12)):
        if dice.random() < 0.2:
            fail(local_root)
        else:
            complete.append(publish(local_root).version)
    for _ in range(dice.randint(0, 6) if complete else 0):
        functions.set_current(local_root, package(local_root, dice.choice("abc"), dice.choice(complete)))
    keep, pinned, before = (
        dice.randint(1, 4),
        set(functions.find_versions_in_use(local_root)),
        set(layout.list_claimed_versions(local_root)),
    )
    dry = from_json(capsys, "models", "prune", local_root.uri, "--keep", str(keep), "--dry-run")["removed"]
    removed = from_json(capsys, "models", "prune", local_root.uri, "--keep", str(keep))["removed"]
    assert removed == dry == [number for number in reversed(complete[:-keep]) if number not in pinned]
    assert set(layout.list_claimed_versions(local_root)) == before - set(removed)
    for number in pinned:
        assert read_manifest(local_root, number).version == number


def test_what_dead_jobs_left_is_named(local_root: Location, publish: Publish, capsys: Capture) -> None:
    publish(local_root)
    claim = local_root / "_model_2/claim.json"
    claim.write(b"{}")
    os.utime(claim.path, (0, 0))
    for dry, verb in ((["--dry-run"], "would remove"), ([], "removed")):
        assert main(["models", "prune", local_root.uri, "--keep", "1", *dry]) == 0
        assert capsys.readouterr().out == f"{verb} no version\n{verb} {local_root.uri}/_model_2, left by a dead job\n"
    assert not (local_root / "_model_2").exists()


@pytest.mark.parametrize("keep", [[], ["--keep", "0"], ["--keep", "x"]])
def test_how_many_to_keep_must_be_said(local_root: Location, publish: Publish, keep: list[str]) -> None:
    publish(local_root)
    publish(local_root)
    assert main(["models", "prune", local_root.uri, *keep]) == 2
    assert layout.list_claimed_versions(local_root) == [1, 2]
