"""The Python that runs a script: which one, whether it is there, and what it brings."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata

from mlsql_runtime.errors import InterpreterError
from mlsql_runtime.plan import PythonEnv

MINIMUM = (3, 10)
_PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "pyspark",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "torch",
    "xgboost",
    "lightgbm",
)
_PROBE = f"""
import json, platform
from importlib import metadata
found = dict(python=platform.python_version())
for name in {_PACKAGES}:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def executable(python: PythonEnv) -> str:
    """The path of the interpreter; MLSQL's bare ``python`` means the job's own."""
    if uses_default(python):
        return sys.executable
    path = os.path.expanduser(str(python.path))
    return os.path.abspath(shutil.which(path) or path)  # the script runs in another folder


def uses_default(python: PythonEnv) -> bool:
    """Whether scripts run with the job's own interpreter."""
    return python.path in (None, "", "python")


def inspect_interpreter(python: PythonEnv, host: str) -> Mapping[str, str]:
    """The interpreter's version (``python``) and those of well-known packages. Another one than this process's is started once.

    :raises InterpreterError: when it is missing, does not run, or has another version than ``python.version``.
    """
    path = shutil.which(executable(python))
    if path is None:
        raise InterpreterError(
            f"there is no Python interpreter {executable(python)} on {host}; install it there or correct pythonPath",
            path=python.path,
            host=host,
        )
    found = _own_versions() if uses_default(python) and not python.flags else _ask(path, python.flags, host)
    if tuple(int(part) for part in found["python"].split(".")[:2]) < MINIMUM:
        raise InterpreterError(
            f"{path} on {host} is Python {found['python']}; MLSQL's modules need Python 3.10 or newer: set pythonPath",
            found=found["python"],
        )
    if python.version and f"{found['python']}.".find(f"{python.version}.") != 0:
        raise InterpreterError(
            f"pythonVer asks for Python {python.version}, but {path} on {host} is Python {found['python']}; "
            "set pythonPath to an interpreter of that version, or correct pythonVer",
            expected=python.version,
            found=found["python"],
        )
    return found


def _own_versions() -> dict[str, str]:
    """What :data:`_PROBE` prints, of this process's interpreter."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _ask(path: str, flags: Sequence[str], host: str) -> dict[str, str]:
    """Start the interpreter, and take what :data:`_PROBE` prints.

    :raises InterpreterError: when it does not run.
    """
    try:
        probe = subprocess.run([path, *flags, "-c", _PROBE], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterpreterError(f"{path} on {host} does not run: {error}", path=path, host=host) from error
    try:
        found: dict[str, str] = json.loads(probe.stdout)
        found["python"]
    except (ValueError, TypeError, KeyError):
        said = (probe.stderr or probe.stdout).strip().splitlines()[-1:] or [f"exit code {probe.returncode}"]
        raise InterpreterError(
            f"{path} on {host} does not run as a Python 3 interpreter: {said[0]}", path=path, host=host
        ) from None
    return found
