"""The map from Spark's exceptions to ours: one sentence each, without the JVM's stack.

Spark hands the exception of a Python task to the driver as text, its traceback. Our tasks therefore run inside
:func:`errors_for_driver`, which turns an error of ours into :class:`TaskError`; the message of that is the error as JSON.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlsql_runtime import errors
from mlsql_runtime.errors import DataError, InputError, InterpreterError, JobFailed, MLSQLError
from mlsql_runtime.java_exceptions import Place, find_cause


class TaskError(Exception):
    """An error of ours that ends a Spark task, as one line of JSON in the traceback that Spark hands to the driver."""

    def __init__(self, error: MLSQLError) -> None:
        self.document = errors.to_json(error)
        super().__init__(json.dumps(self.document, default=str))


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

# Whose mistake a condition of Spark is: by its name, or by its SQLSTATE, or by the class of that, which is its first two letters.
# Conditions without an entry, such as those of memory, of input and output, and of Spark itself, are worth another try.
_MISTAKES: Mapping[str, type[InputError]] = {
    "07": InputError,  # dynamic SQL
    "0A": InputError,  # a feature that Spark does not have
    "21": DataError,  # too many rows, or columns
    "22": DataError,  # values: casts, overflows, divisions, indices, patterns
    "23": DataError,  # constraints
    "24": InputError,
    "2B": InputError,
    "3F": InputError,
    "38": InputError,  # a function that does not suit its arguments
    "39": DataError,  # the failure of a function of Spark's own libraries
    "42": InputError,  # SQL: syntax, names, types, options, paths
    "46": InputError,  # classes that are not there
    "51": InputError,  # a table that has other columns by now
    "54": InputError,  # more than Spark allows
    "56038": InputError,  # features and codecs that are switched off, or not installed
    "F0": InputError,  # configuration
    "KD000": DataError,  # malformed CSV
    "INCOMPATIBLE_DATA_FOR_TABLE": InputError,  # which has the same SQLSTATE
    "KD005": InputError,
    "KD009": DataError,  # folders of partitions that contradict each other
    "P0": DataError,  # raise_error and assert_true
    "FAILED_READ_FILE.CANNOT_READ_FILE_FOOTER": DataError,
    "FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH": DataError,
    "FAILED_READ_FILE.UNSUPPORTED_FILE_SYSTEM": InputError,
}
# What to do, where Spark's own message does not say it.
_ADVICE = {
    "AMBIGUOUS_REFERENCE": "give each column a name of its own",
    "NULL_MAP_KEY": "give each key a value, for example coalesce(key, '')",
    "PARQUET_TYPE_ILLEGAL": "write the column as another type, such as timestamps in microseconds",
    "SCALAR_SUBQUERY_TOO_MANY_ROWS": "aggregate its rows, or take one by limit 1",
    "UNABLE_TO_INFER_SCHEMA": "check that there are data at the path",
}
_UNFORTUNATE = {"FAILED_RENAME_PATH", "PYTHON_EXCEPTION", "PYTHON_DATA_SOURCE_ERROR"}  # whatever their SQLSTATE says
_OF_PYSPARK = {  # classes of PySpark, for exceptions without a condition
    "AnalysisException": InputError,
    "ParseException": InputError,
    "PySparkTypeError": InputError,
    "PySparkValueError": InputError,
}
_ABOUT_ARGUMENTS = {  # those which the network and other parts of Spark raise, too
    "IllegalArgumentException": InputError,
    "ArithmeticException": DataError,
    "ArrayIndexOutOfBoundsException": DataError,
    "DateTimeException": DataError,
    "NumberFormatException": DataError,
    "UnsupportedOperationException": InputError,
}
_BEGIN = r"\[[A-Z][A-Z_0-9]+(?:\.[A-Z_0-9]+)?\] "
_CONDITION = re.compile(rf"\[([A-Z][A-Z_0-9]+(?:\.[A-Z_0-9]+)?)\] ((?:(?!{_BEGIN}).)*?)\s*SQLSTATE: (\w{{5}})", re.DOTALL)
_PLACE = re.compile(
    r"\s*(?:;? ?\(?line (?P<line>\d+),? pos(?:ition)? (?P<at>\d+)\)?[^\n]*)?"
    r"(?:\s*== SQL[^\n]*\(line (?P<in_line>\d+), position (?P<in_at>\d+)\) ==\n(?P<text>[^\n]*)\n(?P<before> *)(?P<marks>\^+))?"
)
_UNREAD = re.compile(r"Encountered error while reading file (\S+)\. ")
_MISSING_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)
_IN_WORKER = re.compile(r"Python worker|\.api\.python\.PythonException: ")
_UNPACKING = re.compile(r"^(?:gzip|tar): .+$", re.MULTILINE)  # messages of the programs that unpack spark.archives
_LOST = re.compile(r"\((\S+) executor (\S+)\): ExecutorLostFailure \(.*?\) Reason: (.+?)(?: Diagnostics: .*)?$", re.MULTILINE)
_KILLED = re.compile(r"\b137\b")  # 128 + SIGKILL
_ON_HOST = re.compile(r"\(TID \d+\) \((\S+) executor")
_SHOWN = 100  # characters of a query
_SQLSTATE = re.compile(r"\s*SQLSTATE: \w+.*", re.DOTALL)


@dataclass(frozen=True)
class QueryPlace:
    """The part of a query that an error is about: line and column count from 1; ``text`` is its first line, empty if unknown."""

    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line} of the query" + (f": {self.text[:_SHOWN]}" if self.text else f", column {self.column}")


@dataclass(frozen=True)
class Condition:
    """An error condition of Spark: its name, what it says, whose mistake it is (None: nobody's), and the place in a query."""

    name: str
    message: str
    mistake: type[InputError] | None
    place: QueryPlace | None


def translate(error: BaseException) -> MLSQLError:
    """Return ``error`` itself if it is ours, the error of ours that ended a Spark task, or else the nearest of our classes."""
    if isinstance(error, MLSQLError):
        return error
    loss = _loss_of_jvm(error)
    if loss is not None:
        return JobFailed(
            f"Spark's JVM on the driver was lost, probably killed ({loss}); read the log, and check the memory of its host"
        )
    text = _text_of(error)
    ours = read_task_error(text)
    if ours is not None:
        return ours
    missing = _MISSING_MODULE.search(text)
    if missing is not None and _IN_WORKER.search(text):
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
    return _translate_mistake(error, text) or _translate_failure(error, text)


def find_condition(error: BaseException) -> Condition | None:
    """Return the innermost condition in an exception of Spark that is somebody's mistake; None if there is none."""
    return next((found for found in reversed(_find_conditions(_text_of(error))) if found.mistake is not None), None)


def find_unread_file(error: BaseException) -> str | None:
    """Return the file that a task could not read or parse; None if the error is about something else."""
    found = _UNREAD.search(_text_of(error))
    return None if found is None else found[1]


def find_place(error: BaseException) -> Place | None:
    """Return what Spark was doing when it raised an exception; None if it is not known."""
    cause = find_cause(_trace_of(error, _text_of(error)))
    return None if cause is None else cause.place


def _translate_mistake(error: BaseException, text: str) -> MLSQLError | None:
    """Return the error for a mistake in data, in a query or in an option; None if it is nobody's."""
    conditions = _find_conditions(text)
    for found in reversed(conditions):
        if found.mistake is not None:
            place = found.place
            where = "" if place is None else f"; {place}"
            advice = f"; {_ADVICE[found.name]}" if found.name in _ADVICE else ""
            return found.mistake(f"Spark: {found.message} [{found.name}]{where}{advice}", condition=found.name)
    cause, name = find_cause(_trace_of(error, text)), type(error).__name__
    if cause is not None and _CONDITION.search(cause.text):  # one that is nobody's
        cause = None
    read = next((f"{each.message} " for each in conditions if each.name.startswith("FAILED_READ_FILE")), "")
    if cause is not None and (known := cause.find_known()) is not None:
        kind, message = known
        return kind(f"Spark: {read}{message}")
    if any(found.name.startswith("FAILED_JDBC") for found in conditions):  # a database that cannot be reached, for example
        return None
    if name in _OF_PYSPARK or (name in _ABOUT_ARGUMENTS and (cause is None or cause.is_mistake)):
        return {**_OF_PYSPARK, **_ABOUT_ARGUMENTS}[name](f"Spark: {_first_line(text)}")
    return DataError(f"Spark: {read}{cause.message}") if cause is not None and cause.is_mistake else None


def _translate_failure(error: BaseException, text: str) -> JobFailed:
    lost = _LOST.search(text)
    if lost is not None:
        host, executor, reason = lost.groups()
        advice = "; if the host had no memory left, raise spark.executor.memoryOverhead: scripts are outside of the JVM's heap"
        advice = advice if _KILLED.search(reason) else ""
        return JobFailed(f"executor {executor} on {host} was lost: {reason.rstrip('. ')}{advice}", host=host)
    raised = _find_worker_exception(text)
    if raised is not None:
        return JobFailed(f"{type(error).__name__}: a Python worker raised {raised}")
    first, cause = _first_line(text), find_cause(text)
    why = "" if cause is None or cause.text in first else f" ({cause.text})"
    return JobFailed(f"{type(error).__name__}: {first}{why}")


def _find_conditions(text: str) -> list[Condition]:
    """Return the conditions in a text of Spark, outer ones first."""
    return [_read_condition(match, text) for match in _CONDITION.finditer(text)]


def _read_condition(match: re.Match[str], text: str) -> Condition:
    name, state = match[1], match[3]
    known = next((key for key in (name, name.partition(".")[0], state, state[:2]) if key in _MISTAKES), None)
    mistake = None if known is None or name in _UNFORTUNATE else _MISTAKES[known]
    return Condition(name, " ".join(match[2].split()), mistake, _read_place(text, match.end()))


def _read_place(text: str, start: int) -> QueryPlace | None:
    found = _PLACE.match(text, start)
    if found is None or not (found["line"] or found["in_line"]):
        return None
    if found["in_line"]:
        part = found["text"][len(found["before"]) :][: len(found["marks"])]
        return QueryPlace(int(found["in_line"]), int(found["in_at"]), part)
    return QueryPlace(int(found["line"]), int(found["at"]) + 1, "")


def read_task_error(text: str) -> MLSQLError | None:
    """Return the error in the last :class:`TaskError` of a traceback; None if there is none, or only a part of one."""
    _, found, rest = text.rpartition(_TASK_ERROR)
    if not found:
        return None
    try:
        document, _ = json.JSONDecoder().raw_decode(rest)
    except (ValueError, RecursionError):
        return None
    return errors.from_json(document) if errors.is_json(document) else None


def _find_worker_exception(text: str) -> str | None:
    """Return class and message of the exception at the end of the last Python traceback in a text; None without a traceback."""
    _, found, rest = text.rpartition("Traceback (most recent call last):\n")
    lines = (line.strip() for line in rest.splitlines() if line.strip() and not line[0].isspace())
    return next(lines, None) if found else None


def _loss_of_jvm(error: BaseException) -> str | None:
    """Return why the JVM does not respond any more; None if the exception is about something else.

    Of all connections of a driver, only those to the JVM raise Python's own errors up to here.
    """
    try:
        text = str(error)  # Py4J asks the JVM for it
    except Exception as why:
        return str(why)
    is_lost = isinstance(error, (ConnectionError, EOFError)) or type(error).__name__ == "Py4JNetworkError"
    return (text or type(error).__name__) if is_lost else None


def _text_of(error: BaseException) -> str:
    """Return the message of an exception; none if the JVM, which Py4J asks for it, is gone."""
    try:
        return str(error)
    except Exception:
        return ""


def _trace_of(error: BaseException, text: str) -> str:
    """Return the stack trace of the JVM. PySpark leaves it out of the texts of its own classes, and has no public name for it."""
    return str(getattr(error, "_stackTrace", None) or text)


def _first_line(text: str) -> str:
    """Return the first line that says what happened; Py4J begins with a line about its own call."""
    lines = [line.strip() for line in _SQLSTATE.sub("", text).splitlines() if line.strip()]
    if lines and lines[0].startswith("An error occurred while calling") and len(lines) > 1:
        return lines[1].removeprefix(": ")
    return lines[0] if lines else "no message"
