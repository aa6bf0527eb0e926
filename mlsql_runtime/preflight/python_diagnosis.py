"""Why executors' own Python does not run our tasks: asked without it, by the shell of each host."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

from mlsql_runtime.result import HostProblem, HostReport

if TYPE_CHECKING:
    from pyspark import SparkContext

PACKAGES = ("fsspec", "numpy", "pandas", "pyarrow", "psutil")  # that the runtime needs on executors
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
# One line: the executor's host and id of the JVM's command line, then what the interpreter said, or how it failed.
_SHELL = """
cat > /dev/null
arguments=$(tr '\\0' '\\n' < /proc/$PPID/cmdline 2>/dev/null)
host=$(printf '%s\\n' "$arguments" | sed -n '/^--hostname$/{{n;p;}}')
id=$(printf '%s\\n' "$arguments" | sed -n '/^--executor-id$/{{n;p;}}')
said=$({python} -c {probe} 2>&1 | tail -n 1)
printf '%s\\t%s\\t%s\\n' "${{host:-$(hostname)}}" "$id" "$said"
"""


def diagnose_python(context: SparkContext) -> tuple[HostReport, ...]:
    """What is wrong with the Python of executors; those that answer.

    ``JavaRDD.pipe`` runs a command in the executors' JVM: no Python is needed for it.
    """
    python = context.pythonExec
    script = _SHELL.format(python=shlex.quote(python), probe=shlex.quote(_PROBE))
    jvm = context._jvm
    assert jvm is not None
    numbers, command = jvm.java.util.ArrayList(), jvm.java.util.ArrayList()
    count = 2 * max(context.defaultParallelism, 2)
    for number in range(count):
        numbers.add(str(number))
    for word in ("sh", "-c", script):
        command.add(word)
    lines: list[str] = list(context._jsc.parallelize(numbers, count).pipe(command).collect())
    found: dict[tuple[str, str], HostReport] = {}
    for line in lines:
        host, executor, said = line.split("\t", 2)
        found.setdefault((host, executor), _report(host, executor, said, python))
    return tuple(report for _, report in sorted(found.items()))


def _report(host: str, executor: str, said: str, python: str) -> HostReport:
    answer = _parsed(said)
    problem: HostProblem | None = None
    mend = "set spark.pyspark.python to one that is the same everywhere"
    if answer is None:
        message = (
            f"the executors' Python, {python}, does not run on {host}: {said or 'it says nothing'}; install it there, or {mend}"
        )
        problem = HostProblem(kind="interpreter", message=message)
    else:
        minor, path, missing = answer
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        if minor != here:
            message = (
                f"the executors' Python on {host}, {path}, is {minor}, and the driver's is {here}: Spark and registered "
                f"functions need the same; {mend}, a Python {here}, or run the driver with {minor}"
            )
            problem = HostProblem(kind="version", message=message)
        elif missing:
            names = " ".join(missing)
            message = (
                f"the executors' Python on {host}, {path}, lacks {names}, which MLSQL jobs need there; install {names}, or {mend}"
            )
            problem = HostProblem(kind="packages", message=message)
    return HostReport(
        host=host,
        executor=executor,
        interpreter=None if answer is None else answer[1],
        versions={} if answer is None else {"python": answer[0]},
        scratch="",
        free=None,
        problems=() if problem is None else (problem,),
    )


def _parsed(said: str) -> tuple[str, str, list[str]] | None:
    """Minor version, path, and missing packages; None when it did not say them."""
    try:
        minor, path, missing = json.loads(said)
    except (ValueError, TypeError):
        return None
    return str(minor), str(path), list(missing)
