"""The Python that runs a script: its path, its version, its packages."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError, InterpreterError, PreflightFailed, PythonVersionError
from mlsql_runtime.events import EVENTS_VARIABLE
from mlsql_runtime.plan import PythonEnv

MINIMUM = (3, 10)
SECONDS = 60  # within which an interpreter has to print its version and packages
WELL_KNOWN_PACKAGES = (
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
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "cv2": "opencv-python", "PIL": "pillow", "yaml": "PyYAML", "kafka": "kafka-python"}
# Variables of the Spark worker's own environment, which scripts do not need; some are secret.
_PRIVATE = (
    "PYTHON_WORKER_FACTORY_",
    "PYSPARK_GATEWAY_",
    "PYSPARK_PYTHON",
    "PYSPARK_DRIVER_PYTHON",
    "_PYTHON_WORKER",
    "SPARK_AUTH",
    "_SPARK_AUTH",
    "AIRFLOW",
    "_AIRFLOW",
    EVENTS_VARIABLE,
)
# For any Python, however old. Modules are looked for, not imported: that would take seconds of some.
_PROBE = f"""
import json, platform, sys
sys.path[:] = [path for path in sys.path if path]
found, missing = dict(python=platform.python_version()), []
if sys.version_info >= {MINIMUM}:
    from importlib import metadata, util
    for name in {WELL_KNOWN_PACKAGES}:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    for name in sys.argv[1:]:
        try:
            there = util.find_spec(name)
        except (ImportError, ValueError):
            there = None
        if there is None:
            missing.append(name)
print(json.dumps(dict(found=found, missing=missing)))
"""


@dataclass(frozen=True)
class InterpreterReport:
    """What an interpreter has: ``versions`` of Python (``python``) and of well-known packages. ``missing`` are those of the
    modules asked for that it lacks.
    """

    path: str
    versions: Mapping[str, str]
    missing: tuple[str, ...]

    def raise_for_missing(self, reasons: Mapping[str, str], host: str, python: PythonEnv, is_function: bool = False) -> None:
        """Raise an error if modules are missing; see :meth:`describe_missing`.

        :raises PreflightFailed: with the missing modules, and what to do.
        """
        if self.missing:
            raise PreflightFailed(self.describe_missing(reasons, host, python, is_function), host=host)

    def describe_missing(self, reasons: Mapping[str, str], host: str, python: PythonEnv, is_function: bool = False) -> str:
        """Return a sentence about the missing modules, with what to do.

        :param reasons: for each module what needs it, as in ``train.py imports``.
        :param is_function: whether the modules are those of a registered function, which runs in the executors' own Python.
        """
        modules = "; ".join(f"{_name_module(module)}, which {reasons[module]}" for module in self.missing)
        names = " ".join(_DISTRIBUTIONS.get(module, module) for module in self.missing)
        if is_function:
            remedy = f"install {names} there, or set spark.pyspark.python to an interpreter that has them"
        elif python.requirements is not None:
            remedy = f"add {names} to requirements"
        elif python.is_unpacked:
            remedy = f"install {names} into the environment, and pack it again"
        else:
            remedy = f"install {names} there, or bring them with requirements, archives or pythonPath"
        return f"{self.path} on {host} lacks {modules}; {remedy}"


def _name_module(module: str) -> str:
    name = _DISTRIBUTIONS.get(module, module)
    return module if name == module else f"{module} (package {name})"


def interpreter_path(python: PythonEnv) -> str:
    """Return the path of the interpreter; MLSQL's bare ``python`` means the job's own.

    A relative path is looked up where Spark has unpacked the job's archives, then from the working directory.
    """
    if is_default_interpreter(python):
        return sys.executable
    path = os.path.expanduser(str(python.path))
    unpacked = os.path.join(_spark_files(), path)
    if os.sep in path and os.path.lexists(unpacked):
        return os.path.abspath(unpacked)
    return os.path.abspath(shutil.which(path) or path)  # the script runs in another folder


def _spark_files() -> str:
    """Return the folder of this job's files and archives; outside of a job the working directory."""
    if "pyspark" not in sys.modules:
        return ""
    from pyspark import SparkContext, SparkFiles

    inside = SparkFiles._is_running_on_worker or SparkContext._active_spark_context is not None
    return SparkFiles.getRootDirectory() if inside else ""


def is_default_interpreter(python: PythonEnv) -> bool:
    """Return whether scripts run with the job's own interpreter, perhaps with other packages."""
    return python.path in (None, "", "python")


def inherited_variables(python: PythonEnv) -> dict[str, str]:
    """Return the environment variables that a script's process inherits, and those of ``envs``."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)} | dict(python.envs)


def inspect_interpreter(python: PythonEnv, host: str, modules: Iterable[str] = (), path: str | None = None) -> InterpreterReport:
    """Return what the interpreter has. One that is not this process's is started once, as for a script.

    :param modules: top-level modules to look for.
    :param path: the interpreter, if it is not the one of :func:`interpreter_path`.
    :raises InterpreterError: when it is missing, does not run, or has another version than ``python.version``.
    """
    named = path or interpreter_path(python)
    found = shutil.which(named)
    if found is None:
        raise InterpreterError(
            f"there is no Python interpreter {named} on {host}{_why_not(named)}; install it there or correct pythonPath",
            path=python.path,
            host=host,
        )
    versions, missing = _own(modules) if _is_own(python, path) else _ask(found, python, modules, host)
    _check_version(found, versions["python"], python, host)
    return InterpreterReport(found, versions, missing)


def _is_own(python: PythonEnv, path: str | None) -> bool:
    """Return whether this process runs with it, and as the script would, so that it need not be started."""
    changed = python.flags or any(name.startswith("PYTHON") for name in python.envs)
    return path in (None, sys.executable) and is_default_interpreter(python) and not changed


def _own(modules: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what :data:`_PROBE` prints, for this process's interpreter."""
    versions = {"python": platform.python_version()}
    for name in WELL_KNOWN_PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions, tuple(name for name in modules if not _is_here(name))


def _is_here(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return module in sys.modules


def _why_not(path: str) -> str:
    """Return what is in its place, as a remark in parentheses."""
    if os.path.islink(path) and not os.path.exists(path):
        return f" (it is a link to {os.readlink(path)}, which does not exist)"
    return " (it may not be executed)" if os.path.isfile(path) else ""


def _ask(path: str, python: PythonEnv, modules: Iterable[str], host: str) -> tuple[Mapping[str, str], tuple[str, ...]]:
    command = [path, *python.flags, "-c", _PROBE, *modules]
    try:
        probe = subprocess.run(
            command, env=inherited_variables(python), capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterpreterError(
            f"{path} on {host} does not run: {error}; reinstall it or correct pythonPath", path=path, host=host
        ) from error
    answer = read_probe(probe.stdout)
    if answer is None:
        said = (probe.stderr or probe.stdout).strip().splitlines()[-1:] or [f"exit code {probe.returncode}"]
        raise InterpreterError(
            f"{path} on {host} does not run as a Python 3 interpreter: {said[0]}; reinstall it or correct pythonPath",
            path=path,
            host=host,
        )
    return answer


@dataclass(frozen=True)
class _Probed:
    """What :data:`_PROBE` prints."""

    found: Mapping[str, str]
    missing: tuple[str, ...]


def read_probe(output: str) -> tuple[Mapping[str, str], tuple[str, ...]] | None:
    """Return the versions and the missing modules that an interpreter printed; None when it is another program."""
    try:
        answer = codec.loads(_Probed, (output.splitlines() or [""])[-1], "the interpreter")
    except FormatError:
        return None
    return (answer.found, answer.missing) if re.fullmatch(r"\d+(\.\d+)+.*", answer.found.get("python", "")) else None


def _check_version(path: str, version: str, python: PythonEnv, host: str) -> None:
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM:
        raise PythonVersionError(
            f"{path} on {host} is Python {version}; MLSQL's modules need Python 3.10 or newer: set pythonPath", found=version
        )
    if python.version and f"{version}.".find(f"{python.version}.") != 0:
        raise PythonVersionError(
            f"pythonVer asks for Python {python.version}, but {path} on {host} is Python {version}; "
            "set pythonPath to an interpreter of that version, or correct pythonVer",
            expected=python.version,
            found=version,
        )
