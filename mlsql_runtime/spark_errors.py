"""Spark's exceptions as ours: whose fault it is, in one sentence, without the JVM's stack."""

from __future__ import annotations

import re
import socket

from mlsql_runtime import errors
from mlsql_runtime.errors import InputError, InterpreterError, JobFailed, MLSQLError

# Spark's error conditions (the word in brackets) that come from a plan, not from a machine.
_INPUT_CONDITION = re.compile(
    r"\[(DATA_SOURCE_NOT_FOUND|PATH_NOT_FOUND|UNABLE_TO_INFER_SCHEMA|UNRESOLVED_\w+|TABLE_OR_VIEW_\w+|PARSE_\w+|DATATYPE_MISMATCH[.\w]*|"
    r"UNSUPPORTED_\w+|PATH_ALREADY_EXISTS|MISSING_\w+|INVALID_\w+|AMBIGUOUS_\w+|COLUMN_\w+|MALFORMED_\w+)[.\w]*\]\s*([^\n]*)"
)
_MISSING_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)
_UNPACKING = re.compile(r"^(?:gzip|tar): .+$", re.MULTILINE)  # what the programs say that unpack spark.archives
_ON_HOST = re.compile(r"\(TID \d+\) \((\S+) executor")
_SQLSTATE = re.compile(r"\s*SQLSTATE: \w+.*", re.DOTALL)


def translate(error: BaseException) -> MLSQLError:
    """``error`` itself when it is ours, what a task of ours raised when Spark wrapped it, else the nearest of our classes."""
    if isinstance(error, MLSQLError):
        return error
    text = _said(error)
    ours = errors.from_traceback(text)
    if ours is not None:
        return ours
    missing = _MISSING_MODULE.search(text)
    if missing is not None and "Python worker" in text:
        return InterpreterError(
            f"the executors' Python has no package '{missing[1]}', which MLSQL jobs need there; "
            "install it on every host, or set spark.pyspark.python to an interpreter that has it",
            package=missing[1],
        )
    unpacking = _UNPACKING.search(text)
    if unpacking is not None:
        where = _ON_HOST.search(text)
        host = where[1] if where else socket.gethostname()
        return InputError(
            f"an archive of the job cannot be unpacked on {host}: {unpacking[0]}; pack it anew, or make room", host=host
        )
    match = _INPUT_CONDITION.search(text)
    if match is not None:
        return InputError(f"Spark: {_SQLSTATE.sub('', match[2]).strip()} [{match[1]}]", condition=match[1])
    if type(error).__name__ in ("AnalysisException", "ParseException", "IllegalArgumentException"):
        return InputError(f"Spark: {_first_line(text)}")
    return JobFailed(f"{type(error).__name__}: {_first_line(text)}")


def _said(error: BaseException) -> str:
    """What an exception says. Py4J asks the JVM for it, which may be gone by now, killed perhaps."""
    try:
        return str(error)
    except Exception as why:
        return f"the JVM is gone ({why})"


def _first_line(text: str) -> str:
    """Py4J begins with a line about its own call; what happened is in the one below."""
    lines = [line.strip() for line in _SQLSTATE.sub("", text).splitlines() if line.strip()]
    if lines and lines[0].startswith("An error occurred while calling") and len(lines) > 1:
        return lines[1].removeprefix(": ")
    return lines[0] if lines else "no message"
