"""The kinds of faults at each place, and the order in which a campaign draws them: all again and again, cheap ones more often."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from support.faults import jobs
from support.faults.faults import ClockJump, Partition, ProcessFault, SecondTry, ServiceFault
from support.faults.jobs import Job
from support.faults.places import LOCAL, STANDALONE, YARN
from support.faults.scene import Fault, Moment
from support.faults.storage_faults import FlippedByte, FullDisk, LostFile, Quota, StorageFault
from support.faults.storages import SMALL_DISK
from support.faults.tries import TASK, TRIGGERER

_EVERYWHERE = (jobs.TRAIN, jobs.KAFKA, jobs.REGISTER, jobs.SELECT, jobs.BATCH, jobs.SCRIPT)
JOBS = {LOCAL: (*_EVERYWHERE, jobs.SENSOR, jobs.TRIGGER), STANDALONE: _EVERYWHERE, YARN: (*_EVERYWHERE, jobs.DEFERRED)}
CHEAP = 2
_ROUNDS = {LOCAL: 1, STANDALONE: 2, YARN: 3}  # in which every kind of the place is drawn once; cases there cost 1 : 2 : 3
_MARK = {LOCAL: "driver", STANDALONE: "driver", YARN: "application master"}  # the process from which on moments are counted
_AFTER_MARK = {LOCAL: 7.0, STANDALONE: 9.0, YARN: 14.0}  # seconds
_ROLES = {  # of processes, and about how many seconds they live
    LOCAL: {"JVM of the driver": 7.0, "driver": 7.0, "Spark's Python worker": 3.0, "supervisor": 2.0, "script": 2.0},
    STANDALONE: {
        "JVM of the driver": 9.0,
        "driver": 9.0,
        "Spark's Python worker": 3.0,
        "supervisor": 2.0,
        "script": 2.0,
        "executor": 6.0,
    },
    YARN: {
        "spark-submit": 6.0,
        "application master": 14.0,
        "driver": 10.0,
        "Spark's Python worker": 3.0,
        "supervisor": 2.0,
        "script": 2.0,
        "executor": 6.0,
    },
}
_OF_SCRIPTS = ("supervisor", "script")
_OF_EXECUTORS = ("executor", "Spark's Python worker")
_SERVICES = {
    LOCAL: (),
    STANDALONE: ("worker daemon",),
    YARN: ("NameNode", "DataNode", "ResourceManager", "NodeManager"),
}  # one of two, if there are two
_ARE_TWO = ("worker daemon", "NodeManager")


@dataclass(frozen=True)
class Kind:
    """A fault at a place.

    :param fits: whether a job with a storage of its model can have it.
    :param draw: makes one for a job.
    """

    place: str
    name: str
    fits: Callable[[Job, str], bool]
    draw: Callable[[random.Random, Job], Fault]


def is_cheap(job: Job, place: str) -> bool:
    """Return whether a job starts no JVM; it is drawn :data:`CHEAP` times as often as another one."""
    return place == LOCAL and (job.waits or job is jobs.REGISTER)


def list_storages(job: Job, place: str) -> tuple[str, ...]:
    """Return the storages in which a job at a place can have its model."""
    if place == YARN:
        return ("hdfs",)
    remote = ("s3", "webhdfs") if place == LOCAL and not job.stages_with_spark else ()
    return ("local", *remote) if job.waits else ("local", SMALL_DISK, *remote)


def schedule(seed: int) -> Kind:
    """Return the kind of a seed. Seeds in a row have every kind of local Spark once in a round, those of clusters less often."""
    number, begin = 0, 1
    while seed >= begin + len(_round(number)):
        begin += len(_round(number))
        number += 1
    return _round(number)[seed - begin]


@functools.cache
def _round(number: int) -> tuple[Kind, ...]:
    kinds = [
        kind
        for place in JOBS
        for index, kind in enumerate(list_kinds(place))
        if index % _ROUNDS[place] == number % _ROUNDS[place]
    ]
    random.Random(number).shuffle(kinds)
    return tuple(kinds)


@functools.cache
def list_kinds(place: str) -> tuple[Kind, ...]:
    """Return all kinds of a place."""
    kinds = [*_of_processes(place), *_of_services(place), *_of_storage(place), *_of_jobs(place)]
    return tuple(sorted(kinds, key=lambda kind: kind.name))


def _moment(rng: random.Random, job: Job, place: str) -> Moment:
    """Draw a moment of a job."""
    if job.waits:
        return Moment(rng.uniform(0, 8))
    if rng.random() < 0.3:
        return Moment(rng.uniform(0, 4))
    if job.scripts and rng.random() < 0.3:
        return Moment(rng.uniform(0, 3), "script")
    return Moment(rng.uniform(0, _AFTER_MARK[place]), "driver" if job is jobs.REGISTER else _MARK[place])


def _of_processes(place: str) -> Iterator[Kind]:
    for signal in ("SIGKILL", "SIGSTOP", "SIGTERM"):
        yield _process(place, TASK, signal, lambda job: True, lambda rng, job: _moment(rng, job, place))
    for signal in ("SIGKILL", "SIGSTOP"):
        if any(job.deferrable for job in JOBS[place]):
            yield _process(
                place, TRIGGERER, signal, lambda job: job.deferrable, lambda rng, job: Moment(rng.uniform(0, 6), TRIGGERER)
            )
        for role, seconds in _ROLES[place].items():

            def fits(job: Job, role: str = role) -> bool:
                if job.waits or (role in _OF_SCRIPTS and not job.scripts) or (role in _OF_EXECUTORS and job is jobs.REGISTER):
                    return False
                return place != LOCAL or job is not jobs.REGISTER or role in ("driver", *_OF_SCRIPTS)

            def when(rng: random.Random, job: Job, role: str = role, seconds: float = seconds) -> Moment:
                return Moment(rng.uniform(0, seconds), role)

            yield _process(place, role, signal, fits, when)


def _process(
    place: str, role: str, signal: str, fits: Callable[[Job], bool], when: Callable[[random.Random, Job], Moment]
) -> Kind:
    def draw(rng: random.Random, job: Job) -> Fault:
        return ProcessFault(role, signal, when(rng, job), rng.uniform(0.5, 8), rng.random())

    return Kind(place, f"{signal} of the {role}", lambda job, storage: fits(job), draw)


def _of_services(place: str) -> Iterator[Kind]:
    for service in ("broker", *_SERVICES[place]):
        for is_killed in (True, False):

            def draw(rng: random.Random, job: Job, service: str = service, is_killed: bool = is_killed) -> Fault:
                other = "other " * (service in _ARE_TWO and rng.random() < 0.5)
                return ServiceFault(f"{other}{service}", is_killed, _moment(rng, job, place), rng.uniform(0.5, 8))

            def fits(job: Job, storage: str, service: str = service) -> bool:
                return job.uses_kafka or service != "broker"

            yield Kind(place, f"{'restart' if is_killed else 'SIGSTOP'} of the {service}", fits, draw)
    if place != LOCAL:
        yield Kind(
            place,
            Partition.name,
            lambda job, storage: job is not jobs.REGISTER,
            lambda rng, job: Partition(Moment(rng.uniform(0, 6), "executor"), rng.uniform(1, 20)),
        )


def _of_storage(place: str) -> Iterator[Kind]:
    for remote in ("s3", "webhdfs") if place == LOCAL else ():
        for mode in ("refuse", "error", "hang", "slow"):

            def draw(rng: random.Random, job: Job, mode: str = mode) -> Fault:
                return StorageFault(mode, _moment(rng, job, place), rng.uniform(0.5, 8))

            name = f"{StorageFault(mode, Moment(0), 0).name}, {remote}"
            yield Kind(place, name, lambda job, storage, remote=remote: storage == remote, draw)  # type: ignore[misc]
    if place == YARN:
        for quota in ("storagespacequota", "namespacequota"):
            yield Kind(
                place,
                Quota(quota, Moment(0)).name,
                lambda job, storage: True,
                lambda rng, job, quota=quota: Quota(quota, _moment(rng, job, place)),  # type: ignore[misc]
            )
    else:
        yield Kind(
            place,
            FullDisk.name,
            lambda job, storage: storage == SMALL_DISK,
            lambda rng, job: FullDisk(_moment(rng, job, place), int(2 ** rng.uniform(0, 14))),
        )
    yield Kind(
        place,
        FlippedByte.name,
        lambda job, storage: job.needs_model and not job.waits,
        lambda rng, job: FlippedByte(rng.random(), rng.randrange(8)),
    )
    for what, fits in (
        ("of the input", lambda job, storage: job.reads_table),
        ("of the script", lambda job, storage: bool(job.scripts)),
        ("staged", lambda job, storage: job.trains),
    ):
        yield Kind(
            place,
            LostFile(what, Moment(0), 0).name,
            fits,
            lambda rng, job, what=what: LostFile(what, _moment(rng, job, place), rng.random()),  # type: ignore[misc]
        )


def _of_jobs(place: str) -> Iterator[Kind]:
    yield Kind(
        place,
        SecondTry.name,
        lambda job, storage: not job.deferrable and not job.waits,
        lambda rng, job: SecondTry(_moment(rng, job, place)),
    )
    if place == LOCAL:  # JVMs hang with a clock of libfaketime
        yield Kind(
            place,
            ClockJump.name,
            lambda job, storage: job is jobs.REGISTER,
            lambda rng, job: ClockJump(_moment(rng, job, place), int(rng.choice((-1, 1)) * 60 * 10 ** rng.uniform(0, 2.5))),
        )
