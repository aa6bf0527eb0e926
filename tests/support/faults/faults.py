"""Faults of processes, services, the network and the clock.

Each waits for its moment, strikes, and is healed; what it does is drawn beforehand from the case's seed. Those of storage are in
:mod:`.storage_faults`.
"""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass

import psutil

from support.faults import network
from support.faults.scene import Moment, Scene
from support.faults.services import listening_ports, without
from support.faults.storage_faults import STORAGE_WORDS

CLOCK = "clock"  # in the case's folder: by how many seconds its clock is off
NEVER = r"(?!)"


@dataclass(frozen=True)
class ProcessFault:
    """A process of the job gets a signal: SIGKILL, SIGTERM, or SIGSTOP and, after some seconds, SIGCONT.

    :param moment: when; the process is looked for then.
    :param seconds: after which SIGSTOP ends.
    :param pick: which of several processes, from 0 to 1.
    """

    role: str
    signal: str
    moment: Moment
    seconds: float
    pick: float

    @property
    def name(self) -> str:
        return f"{self.signal} of the {self.role}"

    @property
    def message(self) -> str:
        if self.signal == "SIGSTOP":
            return NEVER
        return r"killed|SIGKILL|signal 9|without a result|exit code|executor|lost|cancelled"

    def strike(self, scene: Scene) -> str | None:
        if not self.moment.wait(scene):
            return None
        found = scene.find(self.role)
        if not found:
            return None
        process = found[int(self.pick * len(found))]
        try:
            process.send_signal(signal.Signals[self.signal])
        except psutil.Error:
            return None
        if self.signal == "SIGSTOP":
            time.sleep(self.seconds)
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
            return f"for {self.seconds:.1f} s, {self.moment}"
        return str(self.moment)


@dataclass(frozen=True)
class ServiceFault:
    """A service is killed, and started again after some seconds, or stopped by SIGSTOP for so long."""

    service: str
    is_killed: bool
    moment: Moment
    seconds: float

    @property
    def name(self) -> str:
        return f"{'restart' if self.is_killed else 'SIGSTOP'} of the {self.service.removeprefix('other ')}"

    @property
    def message(self) -> str:
        return {
            "broker": r"[Kk]afka|broker",
            "NameNode": STORAGE_WORDS,
            "DataNode": STORAGE_WORDS,
            "ResourceManager": r"ResourceManager|YARN|without a result",
        }.get(self.service, r"without a result|executor|lost|killed|SIGKILL|node")

    def strike(self, scene: Scene) -> str | None:
        if not self.moment.wait(scene):
            return None
        with without(scene.services[self.service], is_killed=self.is_killed):
            time.sleep(self.seconds)
        return f"for {self.seconds:.1f} s, {self.moment}"


@dataclass(frozen=True)
class Partition:
    """Driver and executors do not reach each other for some seconds. Spark gives up an executor after ten."""

    moment: Moment
    seconds: float
    name: str = "partition between driver and executors"
    message: str = r"executor|lost|without a result|timed? ?out|heartbeat"

    def strike(self, scene: Scene) -> str | None:
        ports: set[int] = set()
        if not self.moment.wait(scene) or not scene.wait_until(lambda: ports.update(_find_ports(scene)) or ports):
            return None
        with network.partition(sorted(ports)):
            time.sleep(self.seconds)
        return f"for {self.seconds:.1f} s, {self.moment}"


def _find_ports(scene: Scene) -> set[int]:
    """Return the ports at which executors listen, and those of the driver to which they are connected."""
    executors = scene.find("executor")
    drivers = [each for role in ("JVM of the driver", "application master", "driver") for each in scene.find(role)]
    listening = {port for process in drivers for port in listening_ports(process.pid)}
    ports = {port for process in executors for port in listening_ports(process.pid)}
    with contextlib.suppress(psutil.Error):
        for process in executors:
            ports |= {each.raddr.port for each in process.net_connections("tcp") if each.raddr} & listening
    return ports


@dataclass(frozen=True)
class ClockJump:
    """The clock of all processes of the job jumps, forwards or backwards, and stays there."""

    moment: Moment
    seconds: int
    name: str = "the clock jumps"
    message: str = r"executor|lost|timed? ?out|heartbeat"

    def strike(self, scene: Scene) -> str | None:
        if not self.moment.wait(scene):
            return None
        new = scene.folder / "clock.new"
        new.write_text(f"{self.seconds:+d}\n")
        new.rename(scene.folder / CLOCK)
        return f"by {self.seconds:+d} s, {self.moment}"


@dataclass(frozen=True)
class SecondTry:
    """Another try of the task begins while the first one runs, as when Airflow has lost sight of it."""

    moment: Moment
    name: str = "two tries at once"
    message: str = r"another attempt|taken over|ended|killed|without a result|cancelled"

    def strike(self, scene: Scene) -> str | None:
        if not self.moment.wait(scene):
            return None
        scene.second_try()
        return str(self.moment)
