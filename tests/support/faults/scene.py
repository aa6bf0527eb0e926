"""Where a fault strikes: a try of a case, its processes, and the moments at which one can strike."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil

from support.faults import processes
from support.faults.proxy import FaultyProxy
from support.faults.services import Service
from support.faults.storages import Storage
from support.faults.tries import Try

POLL_SECONDS = 0.25
PUBLICATION = "publication"  # the moment at which a version is claimed, or the first file of a function package is written
_PUBLISHED = re.compile(r"m/(_model_\d+/claim\.json|_functions/.*)")


@dataclass
class Scene:
    """Where a fault strikes: a try of a case.

    :param first: the try.
    :param second_try: starts another try of the same task.
    :param storage: of the model path.
    :param inputs: of the table.
    """

    folder: Path
    first: Try
    second_try: Callable[[], object]
    storage: Storage
    inputs: Storage
    services: Mapping[str, Service] = field(default_factory=dict)
    proxy: FaultyProxy | None = None
    web_hdfs: str = ""

    def wait(self, seconds: float) -> bool:
        """Wait, and return whether the try still runs."""
        deadline = time.monotonic() + seconds
        while self.first.is_alive() and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))
        return self.first.is_alive()

    def wait_until(self, condition: Callable[[], object], every: float = POLL_SECONDS) -> bool:
        """Wait until a condition holds, and return whether it does; False if the try is over before."""
        while not condition():
            if not self.wait(every):
                return False
        return True

    def has_begun_to_publish(self) -> bool:
        """Return whether a job that begins without versions and functions has begun to publish one."""
        return any(_PUBLISHED.fullmatch(file) for file in self.storage.list_files())

    def wait_for_end(self) -> None:
        """Wait until the try is over."""
        while self.wait(1.0):
            pass

    def find(self, role: str) -> list[psutil.Process]:
        """Return the processes of the case with a role."""
        if role in processes.ROLES:
            return processes.with_role(str(self.folder), role)
        with contextlib.suppress(psutil.Error):
            return [psutil.Process(self.first.pid)] if self.first.role == role and self.first.pid else []
        return []


@dataclass(frozen=True)
class Moment:
    """Some seconds after a process with a role has appeared; so a slow machine reaches the same step of the job.

    :param role: None for the beginning of the try; :data:`PUBLICATION` for the time after the scripts.
    """

    seconds: float
    role: str | None = None

    def wait(self, scene: Scene) -> bool:
        """Wait for the moment; return False if the try is over before."""
        role = self.role
        if role == PUBLICATION:
            return scene.wait_until(scene.has_begun_to_publish, every=0.05) and scene.wait(self.seconds)
        return (role is None or scene.wait_until(lambda: scene.find(role))) and scene.wait(self.seconds)

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s after the {'beginning' if self.role is None else self.role}"


class Fault(Protocol):
    """A fault. ``name`` is its kind; ``message`` matches what a try that fails by it says."""

    @property
    def name(self) -> str: ...

    @property
    def message(self) -> str: ...

    def strike(self, scene: Scene) -> str | None:
        """Wait for the moment, and strike; return what was done, None if the try was over before. What lasts ends here, too."""


def matches(fault: Fault | None, message: str) -> bool:
    """Return whether the message of a failure names the fault."""
    return fault is not None and re.search(fault.message, message) is not None
