"""One host, looked at by a process on it: all that keeps a script from running there."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mlsql_runtime.errors import EnvironmentBuildError, InterpreterError, MLSQLError, PythonVersionError
from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.result import HostProblem, HostReport
from mlsql_runtime.script.environments import provided_interpreter
from mlsql_runtime.script.imports import describe_missing
from mlsql_runtime.script.interpreter import InterpreterReport, inspect_interpreter
from mlsql_runtime.script.process import scratch_dir
from mlsql_runtime.storage.location import Location

ENOUGH = 256 << 20  # bytes that have to be free for a script's folder

Log = Callable[[str], None]
_KINDS: Mapping[type[InterpreterError], Literal["interpreter", "version", "environment"]] = {
    InterpreterError: "interpreter",
    PythonVersionError: "version",
    EnvironmentBuildError: "environment",
}


@dataclass(frozen=True, kw_only=True)
class HostNeeds:
    """What a host must have. Travels inside Spark tasks.

    ``modules`` are those of the script's interpreter, and who needs them; for a function that interpreter is the executors' own.
    ``seen`` is the URI of a file that the driver has written, ``paths`` are local ones.
    """

    python: PythonEnv = field(default_factory=PythonEnv)
    modules: Mapping[str, str] = field(default_factory=dict)
    seen: str | None = None
    paths: tuple[str, ...] = ()
    is_function: bool = False
    enough: int = ENOUGH


def check_host(needs: HostNeeds, host: str, executor: str, log: Log) -> HostReport:
    """Everything that is wrong with this host; nothing is raised.

    :param host: what the host is called in messages.
    :param log: called with what there is to see while an environment is built.
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
    """The interpreter that the script would have."""
    try:
        with provided_interpreter(needs.python, log, host) as path:
            found = inspect_interpreter(needs.python, host, needs.modules, path)
    except InterpreterError as error:
        problems.append(HostProblem(kind=_KINDS[type(error)], message=error.message))
        return None
    if found.missing:
        message = describe_missing(found, needs.modules, host, needs.python, needs.is_function)
        problems.append(HostProblem(kind="packages", message=message))
    return found


def _scratch(needs: HostNeeds, host: str, problems: list[HostProblem]) -> tuple[str, int | None]:
    """Where scripts have their folders, and how much is free there."""
    folder = scratch_dir()
    mend = "make room there, or set SPARK_LOCAL_DIRS (or MLSQL_SCRATCH) of the executors to a folder on another disk"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        problems.append(
            HostProblem(kind="scratch", message=f"{folder} on {host}, for scripts' folders, cannot be written: {error}; {mend}")
        )
        return folder, None
    if free < needs.enough:
        message = f"{folder} on {host}, for scripts' folders, has {free >> 20} MiB free, less than {needs.enough >> 20}; {mend}"
        problems.append(HostProblem(kind="scratch", message=message))
    return folder, free


def _storage(needs: HostNeeds, host: str, problems: list[HostProblem]) -> None:
    if needs.seen is not None and (why := _unseen(needs.seen)) is not None:
        message = (
            f"{os.path.dirname(needs.seen)}, below the model path, is not visible on {host}{why}; use storage that all hosts "
            "reach, such as s3:// or a network folder mounted on every host"
        )
        problems.append(HostProblem(kind="storage", message=message))
    for path in needs.paths:
        if not os.path.exists(path) and not glob.glob(path):
            message = f"{path} is not visible on {host}; put it where all hosts reach it, such as s3:// or a network folder"
            problems.append(HostProblem(kind="storage", message=message))


def _unseen(uri: str) -> str | None:
    """Why a file cannot be seen here, None when it can."""
    try:
        return None if Location.of(uri).exists() else ""
    except MLSQLError as error:
        return f" ({error.message})"
