"""Try mutated bytes on a reader: it returns or raises one of our own errors, soon, in little memory, without side effects."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlsql_runtime.errors import MLSQLError, to_json

SECONDS = 2.0  # of the processor, for one case; no case is larger than about a MiB
Mutate = Callable[[random.Random, Sequence[bytes]], bytes]
_WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.connect")


class Violation(AssertionError):
    """A reader did what it must not do."""


@dataclass(frozen=True)
class Target:
    """A reader with good samples of its input.

    :param read: reads a case. It returns False when it refuses the input without an error.
    :param where: texts of which each message must contain one, such as the name of the file; none if there is no file.
    :param finds: exceptions beside our own that the reader documents.
    :param folder: what the reader may write to, and nothing else.
    """

    samples: Sequence[bytes]
    mutate: Mutate
    read: Callable[[bytes], Any]
    folder: Path
    where: tuple[str, ...] = ()
    finds: tuple[type[Exception], ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of input. ``make`` prepares its reader in an empty folder; ``share`` is its number of cases, relative to others."""

    name: str
    make: Callable[[Path], Target]
    share: float = 1.0


@dataclass
class Tally:
    """What came of the cases of one kind. ``first`` is the number of the first violation; ``seconds`` those of the slowest."""

    accepted: int = 0
    refused: int = 0
    violations: int = 0
    first: int | None = None
    report: str = ""
    seconds: float = 0.0
    slowest: int = 0


def make_case(kind: Kind, target: Target, seed: int, number: int) -> bytes:
    """Return case ``number``, the same one for the same seed."""
    return target.mutate(random.Random(f"{seed} {kind.name} {number}"), target.samples)


def try_case(target: Target, case: bytes) -> tuple[bool, float]:
    """Read one case; return whether it was accepted, and the seconds of the processor that it took.

    :raises Violation: when the reader does anything else.
    """
    begun = time.process_time()
    accepted = _is_accepted(target, case)
    took = time.process_time() - begun
    if took > SECONDS:  # or the machine was busy, or something was imported: what is slow is slow again
        begun = time.process_time()
        _is_accepted(target, case)
        took = min(took, time.process_time() - begun)
    if took > SECONDS:
        raise Violation(f"took {took:.1f} s for {len(case)} bytes")
    return accepted, took


def _is_accepted(target: Target, case: bytes) -> bool:
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), _watched(target.folder):
            return target.read(case) is not False
    except MLSQLError as error:
        _check_message(error, target.where)
        return False
    except target.finds:
        return False
    except Violation:
        raise
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        raise Violation(f"{type(error).__module__}.{type(error).__name__}: {str(error)[:500]}") from error


def _check_message(error: MLSQLError, where: tuple[str, ...]) -> None:
    if where and not any(text in error.message for text in where):
        raise Violation(f"the message does not name {where[0]}: {error.message[:500]!r}") from error
    try:
        error.message.encode()
        json.dumps(to_json(error))
    except (ValueError, TypeError, RecursionError) as problem:
        raise Violation(f"the error cannot travel as JSON: {problem!r}: {error.message[:500]!r}") from error


# -- what a reader does beside reading


class _Watch:
    """The side effects of the reader that runs now: writes outside its folder, processes, connections, pickles."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.found: list[str] = []

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event == "open" and isinstance(args[0], (str, bytes)) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self._check(event, args[0])
        elif event in _WRITES:
            for path in args[:2] if event in ("os.rename", "os.link") else args[1:2] if event == "os.symlink" else args[:1]:
                self._check(event, path, args[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1)
        elif event in _STARTS:
            self.found.append(f"{event} {str(args)[:200]}")
        elif event == "pickle.find_class":
            self.found.append(f"unpickled {args}")

    def _check(self, event: str, path: Any, folder: int = -1) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        base = "" if folder == -1 else os.readlink(f"/proc/self/fd/{folder}")
        name = os.path.realpath(os.path.join(base, os.fsdecode(path).replace("\0", "")))
        if self.folder is not None and not f"{name}/".startswith(self.folder) and "__pycache__" not in name:
            self.found.append(f"{event} {name}")


_WATCH = _Watch()
_STATE = {"hooked": False}


@contextlib.contextmanager
def _watched(folder: Path) -> Iterator[None]:
    if not _STATE["hooked"]:
        _STATE["hooked"] = True
        sys.addaudithook(_WATCH)
    _WATCH.found.clear()
    _WATCH.folder = f"{folder.resolve()}/"
    try:
        yield
    finally:
        _WATCH.folder = None
        if _WATCH.found:
            raise Violation(f"side effects: {'; '.join(_WATCH.found[:3])}")


class _TooLong(BaseException):
    """A case has used the processor for too long."""


@contextlib.contextmanager
def limited_time() -> Iterator[None]:
    """End a case in the block that uses the processor for much longer than it may, as far as Python gets to run."""

    def stop(number: int, frame: object) -> None:
        raise _TooLong(f"more than {3 * SECONDS:g} s")

    before = signal.signal(signal.SIGPROF, stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def run(
    kind: Kind, seed: int, numbers: Sequence[int], folder: Path, on_case: Callable[[int], None] = lambda number: None
) -> Tally:
    """Try cases of one kind.

    :param folder: an empty folder.
    :param on_case: called with the number of each case, before it is tried.
    """
    tally = Tally()
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    before, tempfile.tempdir = tempfile.tempdir, str(temporary)
    try:
        with limited_time():
            target = kind.make(folder)
            for sample in target.samples:  # also imports what the reader needs
                _require_good(kind, target, sample)
            for number in numbers:
                on_case(number)
                _count(tally, number, target, make_case(kind, target, seed, number))
    finally:
        tempfile.tempdir = before
    return tally


def _require_good(kind: Kind, target: Target, sample: bytes) -> None:
    try:
        good = _is_accepted(target, sample)
    except Violation as error:
        raise Violation(f"{kind.name}: a good sample: {error}") from error
    if not good:
        raise Violation(f"{kind.name}: a good sample is refused: {sample[:300]!r}")


def _count(tally: Tally, number: int, target: Target, case: bytes) -> None:
    try:
        signal.setitimer(signal.ITIMER_PROF, 3 * SECONDS)
        accepted, took = try_case(target, case)
        signal.setitimer(signal.ITIMER_PROF, 0)
    except Violation as error:
        signal.setitimer(signal.ITIMER_PROF, 0)
        tally.violations += 1
        if tally.first is None:
            tally.first, tally.report = number, f"{error}\n    the case, {len(case)} bytes: {case[:400]!r}"
        return
    tally.accepted += accepted
    tally.refused += not accepted
    if took > tally.seconds:
        tally.seconds, tally.slowest = took, number
