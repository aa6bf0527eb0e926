"""Folders of exchange: gone at the end, kept when interrupted and another attempt may come, taken over by that one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.stores import latest_version

from mlsql_runtime.errors import InputError, JobFailed, TrainingFailed
from mlsql_runtime.plan import Attempt
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.staging import open_staging, remove_staging_folders

Publish = Callable[..., Manifest]
FIRST = Attempt(is_last=False)
SECOND = Attempt(earlier_since=datetime.now(timezone.utc), is_last=False)


def test_staging_goes_with_a_model_path_that_it_made(root: Location) -> None:
    with open_staging(root, "dag/run 1") as stage:
        (stage.folder / "fit-0" / "model" / "a").write(b"1")
        assert stage.folder.uri.startswith(f"{root.uri}/_staging/dag_run_1-")
    assert not stage.folder.exists()
    assert root.list_files() == {}


@pytest.mark.parametrize("error", [None, ValueError])
def test_staging_removes_a_new_folder_on_disk(local_root: Location, error: type[Exception] | None) -> None:
    try:
        with open_staging(local_root, "job"):
            assert local_root.exists()
            if error:
                raise error
    except ValueError:
        assert error is ValueError
    assert not local_root.exists()


def test_staging_leaves_a_model_path_that_was_there(local_root: Location) -> None:
    Path(local_root.path).mkdir(parents=True)
    with open_staging(local_root, "job"):
        pass
    assert local_root.is_dir()
    assert local_root.list_files() == {}


def test_staging_leaves_what_was_published_meanwhile(root: Location, publish: Publish) -> None:
    with open_staging(root, "job"):
        publish(root)
    assert latest_version(root) == 1
    assert [name for name in root.list_files() if name.startswith("_staging")] == []


def test_two_stagings_of_one_job_do_not_meet(root: Location) -> None:
    with open_staging(root, "job") as first, open_staging(root, "job") as second:
        (second.folder / "x").write(b"1")
        assert first.folder.path != second.folder.path
        assert "x" not in first.folder.list_files()


def interrupt(root: Location, attempt: Attempt, job: str = "job", purpose: str = "training") -> Location:
    """Run an attempt that loses its cluster; what was its folder."""
    try:
        with open_staging(root, job, purpose, attempt) as stage:
            (stage.folder / "fit-0-0" / "finished.json").write(b"1")
            raise JobFailed("lost")
    except JobFailed:
        return stage.folder


def test_what_was_interrupted_stays_for_the_next_attempt_and_goes_with_it(root: Location) -> None:
    left = interrupt(root, FIRST)
    assert (left / "fit-0-0" / "finished.json").exists()
    again = interrupt(root, SECOND)
    with open_staging(root, "job", "training", SECOND) as stage:
        assert sorted(folder.path for folder in stage.earlier) == sorted([left.path, again.path])
        stage.check()
    assert root.list_files() == {}


def test_the_last_attempt_leaves_nothing(root: Location) -> None:
    interrupt(root, FIRST)
    interrupt(root, Attempt(earlier_since=SECOND.earlier_since))
    assert root.list_files() == {}


@pytest.mark.parametrize("error", [InputError("no such column"), TrainingFailed("all groups failed")])
def test_bad_input_and_a_scripts_failure_are_not_interruptions(root: Location, error: Exception) -> None:
    with pytest.raises(type(error)), open_staging(root, "job", "training", FIRST):
        raise error
    assert root.list_files() == {}


def test_an_attempt_that_was_taken_over_publishes_nothing(root: Location) -> None:
    with open_staging(root, "job", "training", FIRST) as zombie:
        zombie.check()
        with (
            open_staging(root, "job", "training", SECOND),
            pytest.raises(JobFailed, match="another attempt of this job has taken over"),
        ):
            zombie.check()


def test_only_attempts_of_the_same_training_are_taken_over(root: Location) -> None:
    others = [interrupt(root, FIRST, job="other"), interrupt(root, FIRST, purpose="another")]
    with open_staging(root, "job", "training", SECOND) as stage:
        assert stage.earlier == ()
    assert all(folder.exists() for folder in others)


def test_a_first_attempt_looks_for_none_before_it(root: Location) -> None:
    left = interrupt(root, FIRST)
    with open_staging(root, "job", "training", FIRST) as stage:
        assert stage.earlier == ()
    assert (left / "claim.json").exists()


def test_everything_of_a_job_is_removed_at_once(root: Location) -> None:
    interrupt(root, FIRST)
    interrupt(root, FIRST, purpose="another")
    other = interrupt(root, FIRST, job="job-2")
    remove_staging_folders(root, "job")
    assert {name.split("/")[1] for name in root.list_files()} == {other.name}
