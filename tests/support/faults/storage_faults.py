"""Faults of storage: it is away, late or full, a file vanishes, a bit flips."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import Any

import httpx

from support.faults.scene import Moment, Scene

STORAGE_WORDS = (
    r"cannot be (read|written|listed|removed|opened|created)|Storage|s3a?://|hdfs://|HDFS|[Nn]ame ?[Nn]ode|Connection refused"
    r"|without a result"
)


@dataclass(frozen=True)
class StorageFault:
    """The storage behind a proxy does not do what it should for some seconds, from the first request after the moment.

    :param mode: ``refuse`` connections, answer with ``error`` 503, ``hang``, or be ``slow``.
    """

    mode: str
    moment: Moment
    seconds: float
    message: str = STORAGE_WORDS

    @property
    def name(self) -> str:
        return {"refuse": "storage is away", "error": "storage responds with 503", "hang": "storage hangs"}.get(
            self.mode, "storage is slow"
        )

    def strike(self, scene: Scene) -> str | None:
        proxy = scene.proxy
        if proxy is None or not self.moment.wait(scene):
            return None
        proxy.set_mode(self.mode)
        try:
            if scene.wait_until(lambda: proxy.affected):
                time.sleep(self.seconds)
        finally:
            affected = proxy.set_mode("pass")
        return f"for {self.seconds:.1f} s, {affected} requests, {self.moment}" if affected else None


@dataclass(frozen=True)
class FullDisk:
    """The disk of the model path is full: a small one, of which some bytes are left at the moment. The next try has room."""

    moment: Moment
    left: int
    name: str = "disk of the model path is full"
    message: str = r"No space left|No usable|quota"

    def strike(self, scene: Scene) -> str | None:
        if not self.moment.wait(scene):
            return None
        filler = scene.folder / "models" / "filler"
        room = shutil.disk_usage(filler.parent).free - self.left
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(room, 1))
        scene.wait_for_end()
        filler.unlink()
        return f"with {self.left} bytes left, {self.moment}"


@dataclass(frozen=True)
class Quota:
    """The case's folder on HDFS has a quota that is used up; the next try has room.

    :param kind: ``storagespacequota``, of bytes, or ``namespacequota``, of files.
    """

    kind: str
    moment: Moment
    message: str = r"[Qq]uota"

    @property
    def name(self) -> str:
        return f"quota of HDFS, {'bytes' if self.kind == 'storagespacequota' else 'files'}"

    def strike(self, scene: Scene) -> str | None:
        if not self.moment.wait(scene):
            return None
        self._set(scene, 1)
        scene.wait_for_end()
        self._set(scene, 1 << 40)
        return str(self.moment)

    def _set(self, scene: Scene, value: int) -> None:
        other = {"storagespacequota": "namespacequota", "namespacequota": "storagespacequota"}[self.kind]
        parameters: dict[str, Any] = {"op": "SETQUOTA", "user.name": getuser(), self.kind: value, other: 1 << 40}
        httpx.put(f"{scene.web_hdfs}/webhdfs/v1/{scene.folder.name}", params=parameters, timeout=60).raise_for_status()


@dataclass(frozen=True)
class LostFile:
    """A file vanishes: of the input, of the script, or of what is staged. The next try finds inputs again."""

    place: str
    moment: Moment
    pick: float
    message: str = r".*"  # it says which file, or what it could not do without

    @property
    def name(self) -> str:
        return f"a file vanishes, {self.place}"

    def strike(self, scene: Scene) -> str | None:
        if not self.moment.wait(scene):
            return None
        if self.place == "of the script":
            return self._strike(scene, _Scripts(scene.folder), r".*\.py")
        if self.place == "of the input":
            return self._strike(scene, scene.inputs, r"data/.*\.parquet")
        return self._strike(scene, scene.storage, r"m/_staging/.*")

    def _strike(self, scene: Scene, storage: Any, pattern: str) -> str | None:
        files: list[str] = []

        def find() -> list[str]:
            files[:] = [file for file in storage.list_files() if re.fullmatch(pattern, file)]
            return files

        if not scene.wait_until(find):
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
        return f"{file}, {self.moment}"


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
