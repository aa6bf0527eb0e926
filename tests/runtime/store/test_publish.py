from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from mlsql_runtime.errors import JobFailed, StorageError
from mlsql_runtime.store import functions
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.manifest import FunctionRecord, Manifest
from mlsql_runtime.store.publish import CLOCKS, STALE, claimed, earlier_version, prune
from mlsql_runtime.store.read import latest_version, read_manifest, versions

Publish = Callable[..., Manifest]
BEFORE = datetime.now(timezone.utc)


def test_versions_are_numbered_from_1_and_published_whole(root: Location, publish: Publish) -> None:
    made = [publish(root, 0.5), publish(root, 0.7, None)]
    assert [manifest.version for manifest in made] == [1, 2]
    assert read_manifest(root, 1) == made[0]
    assert read_manifest(root) == made[1]
    assert [(entry.path, entry.size) for entry in made[1].files] == [("model/0/model.bin", 9), ("model/1/model.bin", 9)]


def test_a_number_follows_the_highest_even_over_gaps(root: Location, publish: Publish) -> None:
    (root / "_model_9" / "claim.json").write(b"{}")
    (root / "_model_x" / "claim.json").write(b"{}")
    (root / "_model_30.bak" / "claim.json").write(b"{}")
    assert publish(root).version == 10


def test_a_claim_names_its_job(root: Location) -> None:
    with claimed(root, "dag/run-1") as draft:
        assert json.loads((draft.folder / "claim.json").read())["job_id"] == "dag/run-1"


def test_a_number_that_another_job_took_meanwhile_is_passed_over(root: Location) -> None:
    with claimed(root, "a") as first, claimed(root, "b") as second:
        assert (first.version, second.version) == (1, 2)


def test_16_threads_claim_16_numbers(local_root: Location) -> None:
    barrier = threading.Barrier(16)

    def claim(number: int) -> int:
        barrier.wait()
        with claimed(local_root, f"job-{number}") as draft:
            return draft.version

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(claim, range(16))) == list(range(1, 17))


CLAIMER = """
import sys
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.publish import claimed
root = Location.of(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(10):
    with claimed(root, "job") as draft:
        print(draft.version)
"""


def test_4_processes_claim_different_numbers(local_root: Location) -> None:
    claimers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, local_root.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for claimer in claimers:
        assert claimer.stdout is not None
        assert claimer.stdout.readline() == "ready\n"
    for claimer in claimers:
        assert claimer.stdin is not None
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    numbers = [int(line) for claimer in claimers for line in claimer.communicate()[0].split()]
    assert [claimer.returncode for claimer in claimers] == [0] * 4
    assert sorted(numbers) == list(range(1, 41))


def test_threads_claim_different_numbers_on_s3(s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = Location.of(f"{s3_server}/{tmp_path_factory.mktemp('claims').name}")
    barrier = threading.Barrier(4)

    def claim(number: int) -> int:
        barrier.wait()
        with claimed(root, f"job-{number}") as draft:
            return draft.version

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(claim, range(4))) == [1, 2, 3, 4]
    root.remove()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_number_is_given_back_when_the_block_raises(root: Location, error: type[BaseException], publish: Publish) -> None:
    def train() -> None:
        with claimed(root, "job") as draft:
            (draft.folder / "model" / "0" / "half").write(b"x")
            raise error

    with pytest.raises(error):
        train()
    assert versions(root) == []
    assert root.files() == {}
    assert publish(root).version == 1


def test_a_path_below_a_file_cannot_be_claimed(local_root: Location) -> None:
    local_root.write(b"a file")
    with pytest.raises(StorageError) as caught, claimed(local_root / "below", "job"):
        pass
    assert caught.value.facts["uri"].startswith(local_root.uri)


@pytest.mark.parametrize(("keep", "left"), [(None, [5, 4, 3, 2, 1]), (9, [5, 4, 3, 2, 1]), (2, [5, 4]), (1, [5])])
def test_prune_keeps_the_newest(local_root: Location, publish: Publish, keep: int | None, left: list[int]) -> None:
    for _ in range(5):
        publish(local_root)
    removed = prune(local_root, keep)
    assert sorted(removed) == sorted({1, 2, 3, 4, 5} - set(left))
    assert [info.version for info in versions(local_root)] == left
    assert [read_manifest(local_root, version).version for version in left] == left


def test_prune_keeps_what_a_function_points_to(root: Location, publish: Publish, package: Callable[..., FunctionRecord]) -> None:
    for _ in range(4):
        publish(root)
    for name, version in [("jack", 1), ("jack", 2), ("jill", 3)]:
        functions.point(root, package(root, name, version))
    assert prune(root, 1) == [1]
    assert [info.version for info in versions(root)] == [4, 3, 2]


def test_prune_counts_complete_versions_only(root: Location, publish: Publish, fail: Callable[..., int]) -> None:
    publish(root)
    publish(root)
    fail(root)
    with claimed(root, "running"):
        assert prune(root, 1) == [1]
        assert [(info.version, info.state) for info in versions(root)] == [(4, "unfinished"), (3, "failed"), (2, "complete")]


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
        for file in (local_root / name).files():
            os.utime(f"{local_root.path}/{name}/{file}", (long_ago, long_ago))
    (local_root / "_model_4/fresh").write(b"x")  # claimed long ago and still at work
    assert prune(local_root, None) == []
    assert [name for name in names if (local_root / name).exists()] == ["_model_3", "_model_4", "_staging/new-1"]
    assert latest_version(local_root) == 1


def test_prune_of_nothing_does_nothing(root: Location) -> None:
    assert prune(root, 1) == []
    assert not root.exists()


def test_a_later_attempt_finds_what_an_earlier_one_has_published(root: Location, publish: Publish) -> None:
    publish(root)
    with claimed(root, "job-1", "training") as draft:
        draft.publish(replace(read_manifest(root, 1), version=draft.version))
    publish(root)
    found = earlier_version(root, "job-1", "training", BEFORE)
    assert found is not None
    assert found.version == 2
    assert earlier_version(root, "job-1", "another", BEFORE) is None
    assert earlier_version(root, "job-2", "training", BEFORE) is None
    assert earlier_version(root, "job-1", "training", datetime.now(timezone.utc) + 2 * CLOCKS) is None


def test_a_later_attempt_removes_what_an_earlier_one_left_half_written(root: Location) -> None:
    killed = [claimed(root, *names) for names in [("job-1", "training"), ("job-1", "another"), ("job-2", "training")]]
    for draft in [each.__enter__() for each in killed]:
        (draft.folder / "model/0/a").write(b"1")
    assert earlier_version(root, "job-1", "training", BEFORE) is None
    assert [info.version for info in versions(root)] == [3, 2]


def test_an_attempt_that_was_thought_dead_publishes_nothing_and_removes_nothing(root: Location, publish: Publish) -> None:
    publish(root)
    manifest = read_manifest(root, 1)
    zombie = claimed(root, "job-1", "training")
    draft = zombie.__enter__()
    (draft.folder / "model/0/model.bin").write(b"1")
    assert earlier_version(root, "job-1", "training", BEFORE) is None  # removes what it takes for a dead attempt's
    with pytest.raises(JobFailed, match="another attempt of this job has taken over"):
        draft.publish(replace(manifest, version=draft.version))
    with claimed(root, "job-1", "training") as retry:
        assert retry.version == draft.version
        (retry.folder / "model/0/model.bin").write(b"2")
        assert not zombie.__exit__(ValueError, ValueError("storage"), None)  # it raises, and leaves what is not its own
        retry.publish(replace(manifest, version=retry.version))
    assert [(info.version, info.state) for info in versions(root)] == [(2, "complete"), (1, "complete")]
    assert (root / "_model_2/model/0/model.bin").read() == b"2"


def test_a_version_without_the_files_of_a_group_is_not_published(root: Location, publish: Publish) -> None:
    publish(root)
    manifest = replace(read_manifest(root, 1), version=2, files=())
    with pytest.raises(JobFailed), claimed(root, "job-2") as draft:
        draft.publish(manifest)
    assert latest_version(root) == 1


def test_prune_spares_the_version_that_is_the_answer(root: Location, publish: Publish) -> None:
    for _ in range(3):
        publish(root)
    assert prune(root, 1, spare=1) == [2]


def test_a_failed_training_is_no_earlier_version(root: Location, fail: Callable[..., int]) -> None:
    assert fail(root) == 1
    assert earlier_version(root, "job-1", "", BEFORE) is None
    assert [info.state for info in versions(root)] == ["failed"]
