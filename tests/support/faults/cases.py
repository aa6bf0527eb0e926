"""Cases: what a seed means."""

from __future__ import annotations

import random
from dataclasses import dataclass

from support.faults import kinds
from support.faults.jobs import Job
from support.faults.scene import Fault

_TWO_FAULTS = 0.2  # the share of cases with a second fault


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
        return cls(seed, job, place, storage, tuple(faults))

    def has(self, kind: type) -> bool:
        """Return whether one of the faults is of a class."""
        return any(isinstance(fault, kind) for fault in self.faults)
