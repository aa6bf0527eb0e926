from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from support.stores import latest_version

from mlsql_runtime.errors import JobFailed, StorageError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.publish import CLOCKS, VersionDraft, claim_version, find_published_version
from mlsql_runtime.store.versions import read_manifest, read_states

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
    with claim_version(root, "dag/run-1") as draft:
        assert json.loads((draft.folder / "claim.json").read())["job_id"] == "dag/run-1"


def test_a_number_that_another_job_took_meanwhile_is_passed_over(root: Location) -> None:
    with claim_version(root, "a") as first, claim_version(root, "b") as second:
        assert (first.version, second.version) == (1, 2)


def test_16_threads_claim_16_numbers(local_root: Location) -> None:
    barrier = threading.Barrier(16)

    def claim(number: int) -> int:
        barrier.wait()
        with claim_version(local_root, f"job-{number}") as draft:
            return draft.version

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(claim, range(16))) == list(range(1, 17))


CLAIMER = """
import sys
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.publish import claim_version
root = Location.of(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(10):
    with claim_version(root, "job") as draft:
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
        with claim_version(root, f"job-{number}") as draft:
            return draft.version

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(claim, range(4))) == [1, 2, 3, 4]
    root.remove()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_number_is_given_back_when_the_block_raises(root: Location, error: type[BaseException], publish: Publish) -> None:
    def train() -> None:
        with claim_version(root, "job") as draft:
            (draft.folder / "model" / "0" / "half").write(b"x")
            raise error

    with pytest.raises(error):
        train()
    assert read_states(root) == {}
    assert root.list_files() == {}
    assert publish(root).version == 1


def test_a_version_that_is_complete_stays_when_the_block_raises(root: Location, publish: Publish) -> None:
    """As when the response to the last request is lost, or somebody interrupts the command just then."""
    publish(root)

    def train() -> None:
        with claim_version(root, "job") as draft:
            (draft.folder / "model").copy_from(root / "_model_1/model")
            draft.publish(replace(read_manifest(root, 1), version=draft.version))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert read_states(root) == {2: "complete", 1: "complete"}


def test_a_path_below_a_file_cannot_be_claimed(local_root: Location) -> None:
    local_root.write(b"a file")
    with pytest.raises(StorageError) as caught, claim_version(local_root / "below", "job"):
        pass
    assert caught.value.facts["uri"].startswith(local_root.uri)


def test_a_later_attempt_finds_what_an_earlier_one_has_published(root: Location, publish: Publish) -> None:
    publish(root)
    with claim_version(root, "job-1", "training") as draft:
        (draft.folder / "model").copy_from(root / "_model_1/model")
        draft.publish(replace(read_manifest(root, 1), version=draft.version))
    publish(root)
    found = find_published_version(root, "job-1", "training", BEFORE)
    assert found is not None
    assert found.version == 2
    assert find_published_version(root, "job-1", "another", BEFORE) is None
    assert find_published_version(root, "job-2", "training", BEFORE) is None
    assert find_published_version(root, "job-1", "training", datetime.now(timezone.utc) + 2 * CLOCKS) is None


def test_a_later_attempt_removes_what_an_earlier_one_left_half_written(root: Location) -> None:
    with ExitStack() as killed:
        for names in [("job-1", "training"), ("job-1", "another"), ("job-2", "training")]:
            draft = killed.enter_context(claim_version(root, *names))
            (draft.folder / "model/0/a").write(b"1")
        assert find_published_version(root, "job-1", "training", BEFORE) is None
        assert list(read_states(root)) == [3, 2]


def test_an_attempt_that_was_thought_dead_publishes_nothing_and_removes_nothing(root: Location, publish: Publish) -> None:
    publish(root)
    manifest = read_manifest(root, 1)
    with ExitStack() as attempts:
        zombie = attempts.enter_context(ExitStack())
        draft = zombie.enter_context(claim_version(root, "job-1", "training"))
        (draft.folder / "model/0/model.bin").write(b"1")
        assert find_published_version(root, "job-1", "training", BEFORE) is None  # removes what it takes for a dead attempt's
        with pytest.raises(JobFailed, match="another attempt of this job has taken over"):
            draft.publish(replace(manifest, version=draft.version))
        retry = attempts.enter_context(claim_version(root, "job-1", "training"))
        assert retry.version == draft.version
        (retry.folder / "model/0/model.bin").write(b"2")
        assert not zombie.__exit__(ValueError, ValueError("storage"), None)  # it raises, and leaves what is not its own
        retry.publish(replace(manifest, version=retry.version))
    assert list(read_states(root).items()) == [(2, "complete"), (1, "complete")]
    assert (root / "_model_2/model/0/model.bin").read() == b"2"


class Unaware(VersionDraft):
    """The draft of an attempt that has looked at its claim just before another one took over."""

    is_ours = True


def test_a_version_whose_files_another_attempt_has_just_removed_is_not_published(root: Location, publish: Publish) -> None:
    publish(root)
    manifest = read_manifest(root, 1)
    with contextlib.suppress(JobFailed), claim_version(root, "job-1", "training") as draft:
        assert find_published_version(root, "job-1", "training", BEFORE) is None
        with pytest.raises(JobFailed, match="another attempt of this job has taken over"):
            Unaware(draft.version, draft.folder, draft.claim).publish(replace(manifest, version=draft.version))
    assert list(read_states(root).items()) == [(1, "complete")]


def test_a_version_without_the_files_of_a_group_is_not_published(root: Location, publish: Publish) -> None:
    publish(root)
    manifest = replace(read_manifest(root, 1), version=2, files=())
    with pytest.raises(JobFailed), claim_version(root, "job-2") as draft:
        draft.publish(manifest)
    assert latest_version(root) == 1


def test_a_failed_training_is_not_an_earlier_version(root: Location, fail: Callable[..., int]) -> None:
    assert fail(root) == 1
    assert find_published_version(root, "job-1", "", BEFORE) is None
    assert list(read_states(root).values()) == ["failed"]
