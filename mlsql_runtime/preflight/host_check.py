"""Check one host, from a process on it, for everything that keeps a script from running there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlsql_runtime.errors import EnvironmentBuildError, InterpreterError, MLSQLError, PythonVersionError
from mlsql_runtime.plan import NO_ACCESS, PythonEnv, StorageAccess
from mlsql_runtime.result import HostProblem, HostReport
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.environments import provided_interpreter
from mlsql_runtime.script.interpreter import InterpreterReport, inspect_interpreter
from mlsql_runtime.script.process import scratch_dir
from mlsql_runtime.script.source_code import required_modules
from mlsql_runtime.storage.location import Location
from mlsql_runtime.storage.patterns import find_paths

ENOUGH = 256 << 20  # bytes that have to be free for a script's folder

Log = Callable[[str], None]
_KINDS: Mapping[type[InterpreterError], Literal["interpreter", "version", "environment"]] = {
    InterpreterError: "interpreter",
    PythonVersionError: "version",
    EnvironmentBuildError: "environment",
}


@dataclass(frozen=True, kw_only=True)
class HostNeeds:
    """What a host must have, as it travels inside Spark tasks.

    ``modules`` are required of the script's interpreter, with what needs them. A registered function (``is_function``) runs in
    the executors' own interpreter. ``seen`` is the URI of a file that the driver has written, and hosts have to see, with
    ``access`` to its storage; ``paths`` are local paths that have to exist. ``enough`` is the number of bytes that have to be
    free for scripts' folders.
    """

    python: PythonEnv = field(default_factory=PythonEnv)
    modules: Mapping[str, str] = field(default_factory=dict)
    seen: str | None = None
    access: StorageAccess = NO_ACCESS
    paths: tuple[str, ...] = ()
    is_function: bool = False
    enough: int = ENOUGH

    @classmethod
    def of_script(cls, bundle: ScriptBundle, python: PythonEnv, has_vectors: bool = False, is_kafka: bool = False) -> HostNeeds:
        """Return the needs of a training or batch script; see :func:`required_modules`."""
        return cls(python=python, modules=required_modules(bundle, has_vectors=has_vectors, is_kafka=is_kafka))

    @classmethod
    def of_function(cls, bundle: ScriptBundle) -> HostNeeds:
        """Return the needs of the function that a predict script registers."""
        return cls(modules=required_modules(bundle), is_function=True)


def check_host(needs: HostNeeds, host: str, executor: str, log: Log) -> HostReport:
    """Return a report with all problems of this host; nothing is raised for them.

    :param host: the name of the host in messages.
    :param log: called with the lines that describe the build of an environment.
    """
    problems: list[HostProblem] = []
    found = _interpreter(needs, host, log, problems)
    scratch, free = _scratch(needs, host, problems)
    _storage(needs, host, problems)
    return HostReport(
        host=host,
        executor=executor,
        interpreter=found.path if found else None,
        versions=found.versions if found else {},
        scratch=scratch,
        free=free,
        problems=tuple(problems),
    )


def _interpreter(needs: HostNeeds, host: str, log: Log, problems: list[HostProblem]) -> InterpreterReport | None:
    """Inspect the interpreter that the script would run with; None when it cannot run."""
    try:
        with provided_interpreter(needs.python, log, host) as path:
            found = inspect_interpreter(needs.python, host, needs.modules, path)
    except InterpreterError as error:
        problems.append(HostProblem(kind=_KINDS[type(error)], message=error.message))
        return None
    if found.missing:
        message = found.describe_missing(needs.modules, host, needs.python, needs.is_function)
        problems.append(HostProblem(kind="packages", message=message))
    return found


def _scratch(needs: HostNeeds, host: str, problems: list[HostProblem]) -> tuple[str, int | None]:
    """Return the folder for scripts' folders, and how many bytes are free there; None when it cannot be written."""
    folder = scratch_dir()
    remedy = "make room there, or set SPARK_LOCAL_DIRS (or MLSQL_SCRATCH) of the executors to a folder on another disk"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        problems.append(
            HostProblem(kind="scratch", message=f"{folder} on {host}, for scripts' folders, cannot be written: {error}; {remedy}")
        )
        return folder, None
    if free < needs.enough:
        message = f"{folder} on {host}, for scripts' folders, has {free >> 20} MiB free, less than {needs.enough >> 20}; {remedy}"
        problems.append(HostProblem(kind="scratch", message=message))
    return folder, free


def _storage(needs: HostNeeds, host: str, problems: list[HostProblem]) -> None:
    if needs.seen is not None and (why := _unseen(needs.seen, needs.access)) is not None:
        message = (
            f"{os.path.dirname(needs.seen)}, below the model path, is not visible on {host}{why}; use storage that all hosts "
            "reach, such as s3:// or a network folder mounted on every host"
        )
        problems.append(HostProblem(kind="storage", message=message))
    for path in needs.paths:
        if (why := _missing(path)) is not None:
            message = f"{path} is not visible on {host}{why}; put it where all hosts reach it, such as s3:// or a network folder"
            problems.append(HostProblem(kind="storage", message=message))


def _missing(path: str) -> str | None:
    """Return a remark on why nothing is found at a path or pattern; None when something is."""
    try:
        return None if find_paths(Location.of(path)) else ""
    except MLSQLError as error:
        return f" ({error.message})"


def _unseen(uri: str, access: StorageAccess) -> str | None:
    """Return a remark on why a file is not visible here; None when it is."""
    try:
        return None if Location.of(uri, access).exists() else ""
    except MLSQLError as error:
        return f" ({error.message})"
