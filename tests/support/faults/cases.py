"""Cases: what a seed means, and what came of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from support.faults import jobs
from support.faults.faults import (
    ClockJump,
    Fault,
    FlippedByte,
    FullDisk,
    LostFile,
    Partition,
    ProcessFault,
    Quota,
    SecondTry,
    ServiceFault,
    StorageFault,
)
from support.faults.jobs import Job
from support.faults.places import LOCAL, STANDALONE, YARN
from support.faults.tries import TASK, TRIGGERER

DRAWS = 1  # raise it when seeds begin to mean other cases: records of earlier ones do not count any more
SMALL_DISK = "small disk"
_PLACES = {LOCAL: 4, STANDALONE: 2, YARN: 2}  # with weights
_EVERYWHERE = (jobs.TRAIN, jobs.KAFKA, jobs.REGISTER, jobs.SELECT, jobs.BATCH, jobs.SCRIPT)
_JOBS = {LOCAL: (*_EVERYWHERE, jobs.SENSOR, jobs.TRIGGER), STANDALONE: _EVERYWHERE, YARN: (*_EVERYWHERE, jobs.DEFERRED)}
_USUAL_SECONDS = {LOCAL: 10.0, STANDALONE: 14.0, YARN: 25.0}  # of a job
_ROLES = {
    LOCAL: ("JVM of the driver", "driver", "Spark's Python worker", "supervisor", "script"),
    STANDALONE: ("JVM of the driver", "driver", "Spark's Python worker", "supervisor", "script", "executor"),
    YARN: ("spark-submit", "application master", "driver", "Spark's Python worker", "supervisor", "script", "executor"),
}
_SERVICES = {
    LOCAL: (),
    STANDALONE: ("worker daemon", "other worker daemon"),
    YARN: ("NameNode", "DataNode", "ResourceManager", "NodeManager", "other NodeManager"),
}


@dataclass(frozen=True)
class Case:
    """A job at a place, with its model in some storage; a fault for its first try, and perhaps one for its second."""

    seed: int
    job: Job
    place: str
    storage: str
    faults: tuple[Fault, ...]

    @classmethod
    def of(cls, seed: int) -> Case:
        """Draw a case."""
        rng = random.Random(seed)
        place = rng.choices(list(_PLACES), list(_PLACES.values()))[0]
        job = rng.choice(_JOBS[place])
        storage = rng.choice(_list_storages(job, place))
        faults = tuple(_draw_fault(rng, job, place, storage) for _ in range(rng.choice([1, 1, 1, 2])))
        return cls(seed, job, place, storage, faults)

    def has(self, kind: type) -> bool:
        """Return whether one of the faults is of a class."""
        return any(isinstance(fault, kind) for fault in self.faults)


def _list_storages(job: Job, place: str) -> list[str]:
    if place == YARN:
        return ["hdfs"]
    remote = ["s3", "webhdfs"] if place == LOCAL and not job.stages_with_spark else []
    return ["local", *remote] if job.waits else ["local", "local", SMALL_DISK, *remote]


def _draw_fault(rng: random.Random, job: Job, place: str, storage: str) -> Fault:
    """Draw a fault that can happen to the job."""
    usual = 6.0 if job.waits else _USUAL_SECONDS[place]

    def when() -> float:
        return rng.uniform(0, usual)

    kinds: list[tuple[float, Callable[[], Fault]]] = [(6, lambda: _draw_process_fault(rng, job, place))]
    if storage in ("s3", "webhdfs"):
        modes = ("refuse", "error", "hang", "slow")
        kinds.append((8, lambda: StorageFault(rng.choice(modes), when(), rng.uniform(0.5, 8))))
    if storage == SMALL_DISK:
        kinds.append((8, lambda: FullDisk(when(), int(2 ** rng.uniform(0, 14)))))
    if job.uses_kafka:
        kinds.append((3, lambda: ServiceFault("broker", rng.random() < 0.7, when(), rng.uniform(0.5, 5))))
    if _SERVICES[place]:
        kinds.append((4, lambda: ServiceFault(rng.choice(_SERVICES[place]), rng.random() < 0.7, when(), rng.uniform(0.5, 8))))
        kinds.append((2, lambda: Partition(rng.uniform(0, 6), rng.uniform(1, 20))))
    if place == YARN:
        kinds.append((2, lambda: Quota(rng.choice(("storagespacequota", "namespacequota")), when())))
    if job.needs_model and not job.waits:
        kinds.append((2, lambda: FlippedByte(rng.random(), rng.randrange(8))))
    if not job.waits:
        kinds.append((1, lambda: LostFile(rng.choice(("of the input", "of the script", "staged")), when(), rng.random())))
    if not job.deferrable and not job.waits:
        kinds.append((1, lambda: SecondTry(when())))
    if place == LOCAL and job is jobs.REGISTER:  # JVMs hang with a clock of libfaketime
        kinds.append((3, lambda: ClockJump(when(), int(rng.choice((-1, 1)) * 60 * 10 ** rng.uniform(0, 2.5)))))
    weights, draws = zip(*kinds, strict=True)
    return rng.choices(draws, weights)[0]()


def _draw_process_fault(rng: random.Random, job: Job, place: str) -> ProcessFault:
    roles = [TASK]
    if job.deferrable:
        roles += [TRIGGERER, TRIGGERER]
    if not job.waits:
        needs_spark = job is not jobs.REGISTER or place != LOCAL
        roles += _ROLES[place] if needs_spark else ("driver", "supervisor", "script")
    role = rng.choice(roles)
    signals = ["SIGKILL", "SIGKILL", "SIGSTOP"] + (["SIGTERM"] if role == TASK else [])
    return ProcessFault(role, rng.choice(signals), rng.random(), rng.uniform(0.5, 8), rng.random())


@dataclass
class Record:
    """What came of a case, as the journal keeps it.

    :param struck: for each fault, what it did; None when the try was over before.
    :param tries: how each try has ended: ``succeeded``, ``killed``, or the class of its error.
    :param skipped: why the case was not run on this machine.
    """

    seed: int
    job: str
    place: str
    storage: str
    faults: list[str]
    struck: list[str | None] = field(default_factory=list)
    tries: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    skipped: str | None = None
    seconds: float = 0.0
    draws: int = DRAWS

    @classmethod
    def of(cls, case: Case) -> Record:
        """Return the record of a case that has not run yet."""
        return cls(case.seed, case.job.name, case.place, case.storage, [fault.name for fault in case.faults])


class Journal:
    """The records of a campaign, a line of JSON each; a later record of a case replaces an earlier one."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, record: Record) -> None:
        """Add a record."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        is_cut = self._file.exists() and not self._file.read_bytes().endswith(b"\n")  # its writer was killed
        with self._file.open("a", encoding="utf-8") as file:
            file.write("\n" * is_cut + json.dumps(asdict(record), ensure_ascii=False) + "\n")

    def read_all(self) -> list[Record]:
        """Return all records of these draws, oldest first. A line that was cut off is passed over."""
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.exists() else []
        found = (_parse(line) for line in lines)
        return [record for record in found if record is not None and record.draws == DRAWS]

    def read(self) -> dict[int, Record]:
        """Return the newest record of each seed."""
        return {record.seed: record for record in self.read_all()}


def _parse(line: str) -> Record | None:
    try:
        document: dict[str, Any] = json.loads(line)
        return Record(**document)
    except (ValueError, TypeError):
        return None


def list_open_seeds(first: int, count: int, journal: Iterable[Record]) -> list[int]:
    """Return the seeds whose cases have not run, or had violations, smallest first."""
    done = {record.seed for record in journal if not record.violations and record.skipped is None}
    return [seed for seed in range(first, first + count) if seed not in done]
