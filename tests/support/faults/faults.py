"""The faults. Each waits for its moment, strikes, and is healed; what it does is drawn beforehand from the case's seed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil

from support.faults import network, processes
from support.faults.proxy import FaultyProxy
from support.faults.services import Service, listening_ports, without
from support.faults.storages import Storage
from support.faults.tries import Try

POLL_SECONDS = 0.25
CLOCK = "clock"  # in the case's folder: by how many seconds its clock is off
NEVER = r"(?!)"
_STORAGE_WORDS = (
    r"cannot be (read|written|listed|removed|opened|created)|Storage|s3a?://|hdfs://|HDFS|[Nn]ame ?[Nn]ode|Connection refused"
    r"|without a result"
)


@dataclass
class Scene:
    """Where a fault strikes: a try of a case.

    :param first: the try.
    :param second_try: starts another try of the same task.
    :param storage: of the model path.
    :param inputs: of the table.
    :param clock: the file with the offset of the job's clock.
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


class Fault(Protocol):
    """A fault. ``name`` is its kind; ``message`` matches what a try that fails by it says."""

    @property
    def name(self) -> str: ...

    @property
    def message(self) -> str: ...

    def strike(self, scene: Scene) -> str | None:
        """Wait for the moment, and strike; return what was done, None if the try was over before. What lasts ends here, too."""


@dataclass(frozen=True)
class ProcessFault:
    """A process of the job gets a signal: SIGKILL, SIGTERM, or SIGSTOP and, after some seconds, SIGCONT.

    :param share: the moment, as a share of the time that such a process usually lives.
    :param pick: which of several processes, from 0 to 1.
    """

    role: str
    signal: str
    share: float
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
        while not scene.find(self.role):
            if not scene.wait(POLL_SECONDS):
                return None
        usual = processes.ROLES[self.role][1] if self.role in processes.ROLES else 12.0
        if not scene.wait(self.share * usual):
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
            return f"for {self.seconds:.1f} s"
        return f"after {self.share * usual:.1f} s"


@dataclass(frozen=True)
class ServiceFault:
    """A service is killed, and started again after some seconds, or stopped by SIGSTOP for so long."""

    service: str
    is_killed: bool
    after: float
    seconds: float

    @property
    def name(self) -> str:
        return f"{'restart' if self.is_killed else 'SIGSTOP'} of the {self.service.removeprefix('other ')}"

    @property
    def message(self) -> str:
        return {
            "broker": r"[Kk]afka|broker",
            "NameNode": _STORAGE_WORDS,
            "DataNode": _STORAGE_WORDS,
            "ResourceManager": r"ResourceManager|YARN|without a result",
        }.get(self.service, r"without a result|executor|lost|killed|SIGKILL|node")

    def strike(self, scene: Scene) -> str | None:
        if not scene.wait(self.after):
            return None
        with without(scene.services[self.service], is_killed=self.is_killed):
            time.sleep(self.seconds)
        return f"for {self.seconds:.1f} s"


@dataclass(frozen=True)
class StorageFault:
    """The storage behind a proxy does not do what it should for some seconds.

    :param mode: ``refuse`` connections, answer with ``error`` 503, ``hang``, or be ``slow``.
    """

    mode: str
    after: float
    seconds: float
    message: str = _STORAGE_WORDS

    @property
    def name(self) -> str:
        return {"refuse": "storage is away", "error": "storage responds with 503", "hang": "storage hangs"}.get(
            self.mode, "storage is slow"
        )

    def strike(self, scene: Scene) -> str | None:
        if scene.proxy is None or not scene.wait(self.after):
            return None
        scene.proxy.set_mode(self.mode)
        try:
            time.sleep(self.seconds)
        finally:
            scene.proxy.set_mode("pass")
        return f"for {self.seconds:.1f} s"


@dataclass(frozen=True)
class Partition:
    """Driver and executors do not reach each other for some seconds. Spark gives up an executor after ten."""

    after: float
    seconds: float
    name: str = "partition between driver and executors"
    message: str = r"executor|lost|without a result|timed? ?out|heartbeat"

    def strike(self, scene: Scene) -> str | None:
        while not scene.find("executor"):
            if not scene.wait(POLL_SECONDS):
                return None
        if not scene.wait(self.after):
            return None
        executors = scene.find("executor")
        ports = {port for process in executors for port in listening_ports(process.pid)}
        drivers = [each for role in ("JVM of the driver", "application master", "driver") for each in scene.find(role)]
        listening = {port for process in drivers for port in listening_ports(process.pid)}
        with contextlib.suppress(psutil.Error):
            for process in executors:
                for each in process.net_connections("tcp"):
                    ports |= {each.raddr.port} & listening if each.raddr else set()
        if not ports:
            return None
        with network.partition(sorted(ports)):
            time.sleep(self.seconds)
        return f"for {self.seconds:.1f} s"


@dataclass(frozen=True)
class FullDisk:
    """The disk of the model path is full: a small one, of which some bytes are left at the moment. The next try has room."""

    after: float
    left: int
    name: str = "disk of the model path is full"
    message: str = r"No space left|No usable|quota"

    def strike(self, scene: Scene) -> str | None:
        if not scene.wait(self.after):
            return None
        filler = scene.folder / "models" / "filler"
        room = shutil.disk_usage(filler.parent).free - self.left
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(room, 1))
        scene.wait_for_end()
        filler.unlink()
        return f"with {self.left} bytes left"


@dataclass(frozen=True)
class Quota:
    """The case's folder on HDFS has a quota that is used up; the next try has room.

    :param kind: ``storagespacequota``, of bytes, or ``namespacequota``, of files.
    """

    kind: str
    after: float
    message: str = r"[Qq]uota"

    @property
    def name(self) -> str:
        return f"quota of HDFS, {'bytes' if self.kind == 'storagespacequota' else 'files'}"

    def strike(self, scene: Scene) -> str | None:
        if not scene.wait(self.after):
            return None
        self._set(scene, 1)
        scene.wait_for_end()
        self._set(scene, 1 << 40)
        return f"after {self.after:.1f} s"

    def _set(self, scene: Scene, value: int) -> None:
        other = {"storagespacequota": "namespacequota", "namespacequota": "storagespacequota"}[self.kind]
        parameters: dict[str, Any] = {"op": "SETQUOTA", "user.name": getuser(), self.kind: value, other: 1 << 40}
        httpx.put(f"{scene.web_hdfs}/webhdfs/v1/{scene.folder.name}", params=parameters, timeout=60).raise_for_status()


@dataclass(frozen=True)
class LostFile:
    """A file vanishes: of the input, of the script, or of what is staged. The next try finds inputs again."""

    place: str
    after: float
    pick: float
    message: str = r".*"  # it says which file, or what it could not do without

    @property
    def name(self) -> str:
        return f"a file vanishes, {self.place}"

    def strike(self, scene: Scene) -> str | None:
        if not scene.wait(self.after):
            return None
        if self.place == "of the script":
            return self._strike(scene, _Scripts(scene.folder), r".*\.py")
        if self.place == "of the input":
            return self._strike(scene, scene.inputs, r"data/.*\.parquet")
        return self._strike(scene, scene.storage, r"m/_staging/.*")

    def _strike(self, scene: Scene, storage: Any, pattern: str) -> str | None:
        files = [file for file in storage.list_files() if re.fullmatch(pattern, file)]
        if not files:
            return None
        file = files[int(self.pick * len(files))]
        try:
            content = storage.read(file)
            storage.remove(file)
        except OSError:  # the job has removed it
            return None
        scene.wait_for_end()
        if self.place != "staged":
            storage.write(file, content)
        return file


@dataclass(frozen=True)
class _Scripts:
    folder: Path

    def list_files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.py"))

    def read(self, file: str) -> bytes:
        return (self.folder / file).read_bytes()

    def remove(self, file: str) -> None:
        (self.folder / file).unlink()

    def write(self, file: str, content: bytes) -> None:
        (self.folder / file).write_bytes(content)


@dataclass(frozen=True)
class FlippedByte:
    """A bit of the model, or of the function, differs from what was published; the next try finds it mended."""

    pick: float
    bit: int
    name: str = "a byte of a stored file flips"
    message: str = r"is not what|differs|damaged|corrupt|digest|SHA|changed|does not match"

    def strike(self, scene: Scene) -> str | None:
        files = [
            file
            for file in scene.storage.list_files()
            if re.fullmatch(r"m/(_model_\d+/model/.*|_functions/.*/function\.pickle)", file)
        ]
        if not files:
            return None
        file = files[int(self.pick * len(files))]
        intact = scene.storage.read(file)
        content = bytearray(intact)
        content[int(self.pick * 7919 % len(content))] ^= 1 << self.bit
        scene.storage.write(file, bytes(content))
        scene.wait_for_end()
        scene.storage.write(file, intact)
        return file


@dataclass(frozen=True)
class ClockJump:
    """The clock of all processes of the job jumps, forwards or backwards, and stays there."""

    after: float
    seconds: int
    name: str = "the clock jumps"
    message: str = r"executor|lost|timed? ?out|heartbeat"

    def strike(self, scene: Scene) -> str | None:
        if not scene.wait(self.after):
            return None
        new = scene.folder / "clock.new"
        new.write_text(f"{self.seconds:+d}\n")
        new.rename(scene.folder / CLOCK)
        return f"by {self.seconds:+d} s"


@dataclass(frozen=True)
class SecondTry:
    """Another try of the task begins while the first one runs, as when Airflow has lost sight of it."""

    after: float
    name: str = "two tries at once"
    message: str = r"another attempt|taken over|ended|killed|without a result|cancelled"

    def strike(self, scene: Scene) -> str | None:
        if not scene.wait(self.after):
            return None
        scene.second_try()
        return f"after {self.after:.1f} s"


def matches(fault: Fault | None, message: str) -> bool:
    """Return whether the message of a failure names the fault."""
    return fault is not None and re.search(fault.message, message) is not None
