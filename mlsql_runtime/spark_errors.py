"""The map from Spark's exceptions to ours: one sentence each, without the JVM's stack.

Spark hands the exception of a Python task to the driver as text, its traceback. Our tasks therefore run inside
:func:`errors_for_driver`, which turns an error of ours into :class:`TaskError`; the message of that is the error as JSON.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator

from mlsql_runtime import errors
from mlsql_runtime.errors import InputError, InterpreterError, JobFailed, MLSQLError


class TaskError(Exception):
    """An error of ours that ends a Spark task, as one line of JSON in the traceback that Spark hands to the driver."""

    def __init__(self, error: MLSQLError) -> None:
        super().__init__(json.dumps(errors.to_json(error), default=str))


@contextlib.contextmanager
def errors_for_driver() -> Iterator[None]:
    """In a Spark task: let an error of ours reach the driver with its class and attributes.

    :raises TaskError: for every :class:`~mlsql_runtime.errors.MLSQLError` inside.
    """
    try:
        yield
    except MLSQLError as error:
        raise TaskError(error) from error


_TASK_ERROR = f"\n{TaskError.__module__}.{TaskError.__qualname__}: "  # in a traceback

# Spark's error conditions (the word in brackets) whose cause is the plan, not a machine.
_INPUT_CONDITION = re.compile(
    r"\[(DATA_SOURCE_NOT_FOUND|PATH_NOT_FOUND|UNABLE_TO_INFER_SCHEMA|UNRESOLVED_\w+|TABLE_OR_VIEW_\w+|PARSE_\w+|DATATYPE_MISMATCH[.\w]*|"
    r"UNSUPPORTED_\w+|PATH_ALREADY_EXISTS|MISSING_\w+|INVALID_\w+|AMBIGUOUS_\w+|COLUMN_\w+|MALFORMED_\w+)[.\w]*\]\s*([^\n]*)"
)
_MISSING_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)
_UNPACKING = re.compile(r"^(?:gzip|tar): .+$", re.MULTILINE)  # messages of the programs that unpack spark.archives
_ON_HOST = re.compile(r"\(TID \d+\) \((\S+) executor")
_SQLSTATE = re.compile(r"\s*SQLSTATE: \w+.*", re.DOTALL)


def translate(error: BaseException) -> MLSQLError:
    """Return ``error`` itself if it is ours, the error of ours that ended a Spark task, or else the nearest of our classes."""
    if isinstance(error, MLSQLError):
        return error
    text = _text_of(error)
    ours = _task_error(text)
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
            f"an archive of the job cannot be unpacked on {host}: {unpacking[0]}; create it again, or make room", host=host
        )
    match = _INPUT_CONDITION.search(text)
    if match is not None:
        return InputError(f"Spark: {_SQLSTATE.sub('', match[2]).strip()} [{match[1]}]", condition=match[1])
    if type(error).__name__ in ("AnalysisException", "ParseException", "IllegalArgumentException"):
        return InputError(f"Spark: {_first_line(text)}")
    raised = _find_worker_exception(text)
    return JobFailed(f"{type(error).__name__}: {f'a Python worker raised {raised}' if raised else _first_line(text)}")


def _task_error(text: str) -> MLSQLError | None:
    """Return the error in the last :class:`TaskError` of a traceback; None if there is none, or only a part of one."""
    _, found, rest = text.rpartition(_TASK_ERROR)
    if not found:
        return None
    try:
        document, _ = json.JSONDecoder().raw_decode(rest)
        return errors.from_json(document)
    except (ValueError, KeyError, TypeError):
        return None


def _find_worker_exception(text: str) -> str | None:
    """Return class and message of the exception at the end of the last Python traceback in a text; None without a traceback."""
    _, found, rest = text.rpartition("Traceback (most recent call last):\n")
    lines = (line.strip() for line in rest.splitlines() if line.strip() and not line[0].isspace())
    return next(lines, None) if found else None


def _text_of(error: BaseException) -> str:
    """Return the message of an exception. Py4J asks the JVM for it, which may have been killed."""
    try:
        return str(error)
    except Exception as why:
        return f"the JVM is gone ({why})"


def _first_line(text: str) -> str:
    """Return the first line that says what happened; Py4J begins with a line about its own call."""
    lines = [line.strip() for line in _SQLSTATE.sub("", text).splitlines() if line.strip()]
    if lines and lines[0].startswith("An error occurred while calling") and len(lines) > 1:
        return lines[1].removeprefix(": ")
    return lines[0] if lines else "no message"
