"""Cases: what a seed means."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import Any, cast

from support.faults import jobs, kinds
from support.faults.jobs import Job
from support.faults.scene import PUBLICATION, Fault, Moment

_TWO_FAULTS = 0.2  # the share of cases with a second fault
_LATE = 0.35
_BEFORE_PUBLICATION = ("script", "supervisor", "Spark's Python worker", "spark-submit")


def _delay(rng: random.Random, job: Job, fault: Any) -> Fault:
    """Return a fault with another moment in a part of the cases of jobs that publish: while they do, which takes a second."""
    moment = getattr(fault, "moment", None)
    publishes = job.trains or job is jobs.REGISTER
    if moment is None or not publishes or moment.role in _BEFORE_PUBLICATION or rng.random() > _LATE:
        return cast(Fault, fault)
    return cast(Fault, dataclasses.replace(fault, moment=Moment(rng.uniform(0, 2), PUBLICATION)))


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
        """Return the case of a seed: the kind of its first fault is that of the schedule, the rest is drawn."""
        rng, kind = random.Random(seed), kinds.schedule(seed)
        place = kind.place
        fitting = [job for job in kinds.JOBS[place] if any(kind.fits(job, each) for each in kinds.list_storages(job, place))]
        (job,) = rng.choices(fitting, [kinds.CHEAP if kinds.is_cheap(each, place) else 1 for each in fitting])
        storage = rng.choice([each for each in kinds.list_storages(job, place) if kind.fits(job, each)])
        faults = [kind.draw(rng, job)]
        if rng.random() < _TWO_FAULTS:
            others = [each for each in kinds.list_kinds(place) if each.fits(job, storage)]
            faults.append(rng.choice(others).draw(rng, job))
        late = random.Random(f"late {seed}")
        return cls(seed, job, place, storage, tuple(_delay(late, job, fault) for fault in faults))

    def describe(self) -> str:
        """Return what the case is, with the moments of its faults, in a line."""
        faults = [f"{fault.name} {getattr(fault, 'moment', '')}".rstrip() for fault in self.faults]
        return f"{self.seed}: {self.job.name}, {self.place}, {self.storage}; {' and '.join(faults)}"

    def has(self, kind: type) -> bool:
        """Return whether one of the faults is of a class."""
        return any(isinstance(fault, kind) for fault in self.faults)
