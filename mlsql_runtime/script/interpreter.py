"""The Python that runs a script: which one, whether it is there, and what it brings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping

from mlsql_runtime.errors import InterpreterError
from mlsql_runtime.plan import PythonEnv

_PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "pyspark",
    "tensorflow",
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
    return sys.executable if python.path in (None, "", "python") else str(python.path)


def inspect_interpreter(python: PythonEnv, host: str) -> Mapping[str, str]:
    """Start the interpreter once and answer its version (``python``) and those of well-known packages.

    :raises InterpreterError: when it is missing, does not run, or has another version than ``python.version``.
    """
    path = shutil.which(executable(python))
    if path is None:
        raise InterpreterError(
            f"there is no Python interpreter {executable(python)} on {host}; install it there or correct pythonPath",
            path=python.path,
            host=host,
        )
    try:
        probe = subprocess.run([path, *python.flags, "-c", _PROBE], capture_output=True, text=True, timeout=60, check=False)
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
    if python.version and f"{found['python']}.".find(f"{python.version}.") != 0:
        raise InterpreterError(
            f"pythonVer asks for Python {python.version}, but {path} on {host} is Python {found['python']}; "
            "set pythonPath to an interpreter of that version, or correct pythonVer",
            expected=python.version,
            found=found["python"],
        )
    return found
