"""Find out why the executors' own Python does not run our tasks. No Python is needed for it: the shell of each host looks."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError
from mlsql_runtime.result import HostProblem, HostReport

if TYPE_CHECKING:
    from pyspark import SparkContext

PACKAGES = ("fsspec", "numpy", "pandas", "pyarrow", "psutil")  # which the runtime needs on executors
_REMEDY = "set spark.pyspark.python to one that is the same everywhere"
_PROBE = f"""
import json, sys
missing = []
for name in {PACKAGES}:
    try:
        __import__(name)
    except Exception:
        missing.append(name)
print(json.dumps(["%d.%d" % sys.version_info[:2], sys.executable, missing]))
"""
# One line: the executor's host and id, from the JVM's command line, then the output of the interpreter, or its error.
_SHELL = """
cat > /dev/null
arguments=$(tr '\\0' '\\n' < /proc/$PPID/cmdline 2>/dev/null)
host=$(printf '%s\\n' "$arguments" | sed -n '/^--hostname$/{{n;p;}}')
id=$(printf '%s\\n' "$arguments" | sed -n '/^--executor-id$/{{n;p;}}')
output=$({python} -c {probe} 2>&1 | tail -n 1)
printf '%s\\t%s\\t%s\\n' "${{host:-$(hostname)}}" "$id" "$output"
"""


def diagnose_python(context: SparkContext) -> tuple[HostReport, ...]:
    """Return a report on the Python of each executor that responds.

    ``JavaRDD.pipe`` runs a command in the executors' JVM.
    """
    python = context.pythonExec
    script = _SHELL.format(python=shlex.quote(python), probe=shlex.quote(_PROBE))
    jvm = context._jvm
    assert jvm is not None
    count = 2 * max(context.defaultParallelism, 2)
    numbers, command = (jvm.java.util.ArrayList() for _ in range(2))
    for number in range(count):
        numbers.add(str(number))
    for word in ("sh", "-c", script):
        command.add(word)
    lines: list[str] = list(context._jsc.parallelize(numbers, count).pipe(command).collect())
    reports: dict[tuple[str, str], HostReport] = {}
    for line in lines:
        host, executor, output = line.split("\t", 2)
        reports.setdefault((host, executor), _report(host, executor, output, python))
    return tuple(report for _, report in sorted(reports.items()))


def _report(host: str, executor: str, output: str, python: str) -> HostReport:
    path: str | None = None
    versions: dict[str, str] = {}
    try:
        versions["python"], path, missing = codec.loads(tuple[Any, ...], output, "the probe")
        missing = [str(name) for name in missing]
    except (FormatError, ValueError, TypeError):
        versions = {}
        problem = HostProblem(
            kind="interpreter",
            message=f"the executors' Python, {python}, does not run on {host}: {output or 'it prints nothing'}; install it "
            f"there, or {_REMEDY}",
        )
        problems: tuple[HostProblem, ...] = (problem,)
    else:
        problems = _problems(f"the executors' Python on {host}, {path},", versions["python"], missing)
    return HostReport(host=host, executor=executor, interpreter=path, versions=versions, scratch="", free=None, problems=problems)


def _problems(subject: str, minor: str, missing: list[str]) -> tuple[HostProblem, ...]:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if minor != here:
        message = (
            f"{subject} is {minor}, and the driver's is {here}: Spark and registered functions need the same; {_REMEDY}, "
            f"a Python {here}, or run the driver with {minor}"
        )
        return (HostProblem(kind="version", message=message),)
    if missing:
        names = " ".join(missing)
        message = f"{subject} lacks {names}, which MLSQL jobs need there; install {names}, or {_REMEDY}"
        return (HostProblem(kind="packages", message=message),)
    return ()
