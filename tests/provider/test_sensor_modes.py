"""Every mode of the sensor ends in the same way, with model stores on disk and on S3."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException
from support.sensors import CONTEXT, make_sensor, wait_deferred
from support.stores import T0, fail, half_written, publish, xcom

from mlsql_runtime.errors import InputError, IntegrityError, ScriptFailed, StorageError, TrainingFailed
from mlsql_runtime.storage.location import Location


def outcome(run: Callable[[], Any]) -> Any:
    """A value, or how the task would end."""
    try:
        return run()
    except AirflowSensorTimeout:
        return "waits"
    except Exception as error:
        return type(error), getattr(error, "message", str(error)), getattr(error, "facts", None)


def in_every_mode(root: str, prepare: Callable[[], object], **arguments: Any) -> Any:
    """The outcome when things are there before the sensor is; the same when they happen while it is deferred."""
    while_deferred = outcome(lambda: wait_deferred(make_sensor(root, deferrable=True, **arguments), prepare))
    outcomes = {
        "poke": outcome(lambda: make_sensor(root, mode="poke", **arguments).execute(CONTEXT)),
        "reschedule": outcome(lambda: make_sensor(root, mode="reschedule", **arguments).execute(CONTEXT)),
        "deferrable": outcome(lambda: wait_deferred(make_sensor(root, deferrable=True, **arguments))),
    }
    assert outcomes == dict.fromkeys(outcomes, while_deferred)
    return while_deferred


@dataclass(frozen=True)
class Case:
    """What there is, what the sensor is asked for, and either version and score, or how it ends."""

    name: str
    prepare: Callable[[str], object]
    expected: Any
    arguments: dict[str, Any] = field(default_factory=dict)
    storages: tuple[str, ...] = ("local", "s3")

    def __str__(self) -> str:
        return self.name


def corrupt(root: str) -> None:
    publish(root, 0.9)
    (Location.of(root) / "_model_1/model/0/model.pickle").write(b"modem")


def two_at_once(root: str) -> None:
    publish(root, 0.7, created=1)
    publish(root, 0.8, created=1)


def empty(root: str) -> None:
    """A folder, or what object stores have for one that people make in their consoles."""
    place = Location.of(root)
    if place.is_local:
        place.fs.mkdir(place.path)
    else:
        bucket, key = place.path.split("/", 1)
        place.fs.call_s3("put_object", Bucket=bucket, Key=key + "/")


def closed(root: str) -> None:
    publish(root)
    os.chmod(root, 0)


def closed_manifest(root: str) -> None:
    publish(root)
    os.chmod(f"{root}/_model_1/manifest.json", 0)


def an_older_one_and_a_failure(root: str) -> None:
    publish(root, 0.9, job="old")
    fail(root, "2 of 2 fit groups failed: KeyError", job="mine", created=1)


CASES = [
    Case("no path", lambda root: None, "waits"),
    Case("empty path", empty, "waits"),
    Case("half written", half_written, "waits", {"min_version": 1}),
    Case("below, and waits", lambda root: publish(root, 0.4), "waits", {"min_score": 0.5}),
    Case("below, and skips", lambda root: publish(root, 0.4), AirflowSkipException, {"min_score": 0.5, "on_low_score": "skip"}),
    Case("below, and fails", lambda root: publish(root, 0.4), ScriptFailed, {"min_score": 0.5, "on_low_score": "fail"}),
    Case("at the threshold", lambda root: publish(root, 0.5), (1, 0.5), {"min_score": 0.5, "on_low_score": "fail"}),
    Case("above", lambda root: publish(root, 0.6), (1, 0.6), {"min_score": "0.5", "on_low_score": "skip"}),
    Case("a loss above", lambda root: publish(root, 0.6, maximise=False), "waits", {"min_score": 0.5}),
    Case("NaN", lambda root: publish(root, None), (1, None)),
    Case("NaN, and a threshold", lambda root: publish(root, None), "waits", {"min_score": 0.5}),
    Case("NaN fails", lambda root: publish(root, None), ScriptFailed, {"min_score": 0.5, "on_low_score": "fail"}),
    Case("failed training", an_older_one_and_a_failure, TrainingFailed, {"job_id": "mine"}),
    Case("failed after a time", an_older_one_and_a_failure, TrainingFailed, {"published_after": T0}),
    Case("failed, but another", an_older_one_and_a_failure, (1, 0.9)),
    Case("corrupted", corrupt, IntegrityError, {"check_files": True}),
    Case("corrupted, unnoticed", corrupt, (1, 0.9)),
    Case("intact", lambda root: publish(root, 0.9), (1, 0.9), {"check_files": "true"}),
    Case("unchecked", corrupt, (1, 0.9), {"check_files": "None"}),
    Case("older version only", lambda root: publish(root, 0.9), "waits", {"min_version": 2}),
    Case("published earlier only", lambda root: publish(root, 0.9), "waits", {"published_after": T0 + timedelta(days=1)}),
    Case("two at once", two_at_once, (2, 0.8), {"min_version": 1}),
    Case("a damaged manifest", lambda root: (Location.of(root) / "_model_1/manifest.json").write(b"{"), InputError),
    Case("a file", lambda root: Location.of(root).write(b""), InputError),
    Case("permission denied", closed, StorageError, storages=("guarded",)),
    Case("permission to read the manifest denied", closed_manifest, StorageError, storages=("guarded",)),
]


@contextmanager
def guarded() -> Iterator[str]:
    """A folder of somebody to whom permissions apply, as whom the test goes on."""
    was_root = not os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        in_every_mode(f"{folder}/m", lambda: None)  # what is imported late may be closed to nobody
        if was_root:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if was_root:
                os.seteuid(0)
            for path in Path(folder).glob("*"):
                path.chmod(0o755)


@contextmanager
def storage_for(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where model paths may be made."""
    if kind == "guarded":
        with guarded() as folder:
            yield folder
    else:
        yield str(request.getfixturevalue("tmp_path" if kind == "local" else "s3_server"))


@pytest.mark.parametrize(("case", "storage"), [(case, storage) for case in CASES for storage in case.storages], ids=str)
def test_every_mode_ends_alike(case: Case, storage: str, request: pytest.FixtureRequest) -> None:
    with storage_for(storage, request) as place:
        root = f"{place}/{uuid.uuid4().hex}"
        ended = in_every_mode(root, lambda: case.prepare(root), **case.arguments)
    if case.expected == "waits":
        assert ended == "waits"
    elif isinstance(case.expected, tuple):
        version, score = case.expected
        assert ended == xcom(root, version, score)
    else:
        assert isinstance(ended, tuple), ended
        assert issubclass(ended[0], case.expected)
        assert ended[1]


@pytest.mark.parametrize("forgiving", ["soft_fail", "never_fail"])
def test_forgiving_sensors_skip_alike(forgiving: str, tmp_path: Path) -> None:
    root = str(tmp_path / "m")
    if forgiving == "soft_fail":  # Airflow itself forgives a timeout with never_fail to deferred sensors only
        assert skips(in_every_mode_raising(root, lambda: None, soft_fail=True))
    failed = in_every_mode_raising(root, lambda: fail(root, "broken", job="mine"), job_id="mine", **{forgiving: True})
    assert skips(failed) == (forgiving == "never_fail")  # soft_fail is about timeouts


def in_every_mode_raising(root: str, prepare: Callable[[], object], **arguments: Any) -> list[type]:
    """Which exceptions end it; the messages differ, since Airflow's own name seconds."""
    runs = [
        lambda: wait_deferred(make_sensor(root, deferrable=True, **arguments), prepare),
        lambda: wait_deferred(make_sensor(root, deferrable=True, **arguments)),
        lambda: make_sensor(root, **arguments).execute(CONTEXT),
        lambda: make_sensor(root, mode="reschedule", **arguments).execute(CONTEXT),
    ]
    return [outcome(run)[0] for run in runs]


def skips(ends: list[type]) -> bool:
    assert len(set(ends)) == 1, ends
    return ends[0] is AirflowSkipException
