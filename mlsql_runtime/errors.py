"""The exceptions that this project raises.

::

    MLSQLError
    ├── InputError              the caller's input is wrong; a retry cannot help
    │   ├── FormatError         a JSON document does not have the form that its reader expects
    │   ├── OptionError         an option has a value that it does not take
    │   ├── DataError           a table is empty, lacks a column, or holds vectors of another width
    │   ├── ScriptNotFound      no script at the path given
    │   ├── InterpreterError    a Python interpreter is missing, or lacks what a script needs
    │   │   ├── PythonVersionError     an interpreter has another version than the one asked for
    │   │   └── EnvironmentBuildError  the environment of ``requirements`` cannot be built
    │   ├── PreflightFailed     hosts lack what the job needs; a retry helps once they have it
    │   ├── VersionNotFound     the model path has no such version, fit group or function
    │   ├── KafkaRefused        the brokers refuse a request: credentials, permissions, topic settings
    │   └── Refused             a model did not pass the gates of its registration, which was asked to fail then
    ├── IntegrityError          files or records differ from those that their manifest names
    │   └── FileMissing         a file that a manifest names does not exist
    ├── ScriptFailed            a user's script, or a function it made, failed
    │   └── TrainingFailed      more fit groups failed than ``failOn`` allows
    ├── StorageError            a path cannot be read or written
    ├── KafkaUnavailable        no broker responds; retry
    ├── SessionNeeded           a job that has started no Spark needs it after all; its submitter starts it again, with Spark
    └── JobFailed               the Spark application ended without a result; retry
        └── ClusterUnavailable  the cluster does not respond; its applications may still be running, and a retry finds them

The input of the user decides whether ``InputError`` and ``ScriptFailed`` are raised, the state of machines and services decides
the other branches; an Airflow retry rule can therefore tell them apart. An error travels from the Spark application to the
Airflow task as the JSON of :func:`to_json`, and arrives as the same class.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MAX_MESSAGE, _END = 8000, 2000  # characters


@dataclass(frozen=True)
class Origin:
    """A position in an MLSQL script. ``line`` and ``column`` count from 1, columns in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class MLSQLError(Exception):
    """The base class.

    :param message: one sentence for people. It may quote texts of any length: of more than MAX_MESSAGE characters, those in the
        middle are left out.
    :param statement: the number of the plan's statement that failed, from 0; None if no statement is known.
    :param origin: the position in the MLSQL script; None unless the error belongs to one.
    :param facts: the facts of the message as JSON values, for logs, reports and links; no code decides by them.
    """

    lineage: Any = None
    """What the job that it ended has read and written, a ``JobLineage``; None if that is not known. It is not in the JSON."""

    def __init__(self, message: str, *, statement: int | None = None, origin: Origin | None = None, **facts: Any) -> None:
        if len(message) > MAX_MESSAGE:
            message = f"{message[: MAX_MESSAGE - _END - 3]} … {message[-_END:]}"
        super().__init__(message)
        self.message = message
        self.statement = statement
        self.origin = origin
        self.facts = facts

    def with_origin(self, origin: Origin) -> MLSQLError:
        """Return a copy whose message begins with ``origin``."""
        located = copy.copy(self)
        located.message = f"{origin}: {self.message}"
        located.args = (located.message,)
        located.origin = origin
        return located


class InputError(MLSQLError):
    """The caller's input is wrong."""


class FormatError(InputError):
    """A JSON document does not have the form that its reader expects."""


class OptionError(InputError):
    """An option has a value that it does not take.

    :param message: by default made of the other parameters.
    :param name: the option, as the caller calls it.
    :param got: the value, as text to show.
    :param expected: what the option takes.
    """

    def __init__(self, message: str | None = None, *, name: str = "", got: str = "", expected: str = "", **facts: Any) -> None:
        super().__init__(message or f"{name} is {got}; expected {expected}", name=name, got=got, expected=expected, **facts)
        self.name, self.got, self.expected = name, got, expected


class DataError(InputError):
    """A table is empty, lacks a column, or holds values that cannot be used."""


class ScriptNotFound(InputError):
    """No script at the path given."""


class InterpreterError(InputError):
    """A Python interpreter is missing, or lacks what a script needs."""


class PythonVersionError(InterpreterError):
    """An interpreter has another version than the one asked for."""


class EnvironmentBuildError(InterpreterError):
    """The environment of ``requirements`` cannot be built."""


class PreflightFailed(InputError):
    """Executor hosts lack what the job needs. The message lists every problem of every host."""


class VersionNotFound(InputError):
    """The model path has no such version, fit group or function."""


class KafkaRefused(InputError):
    """The brokers refuse a request: credentials, permissions, topic settings."""


class Refused(InputError):
    """A model did not pass the gates of its registration, which was asked to fail then."""


class IntegrityError(MLSQLError):
    """Files or records differ from those that their manifest names."""


class FileMissing(IntegrityError):
    """A file that a manifest names does not exist."""


class ScriptFailed(MLSQLError):
    """A user's script, or a function that it made, failed."""


class TrainingFailed(ScriptFailed):
    """More fit groups failed than ``failOn`` allows."""


class StorageError(MLSQLError):
    """A path cannot be read or written."""


class KafkaUnavailable(MLSQLError):
    """No broker responds."""


class SessionNeeded(MLSQLError):
    """A statement needs a Spark session, in a job that has started without one."""


class JobFailed(MLSQLError):
    """The Spark application ended without a result."""


class ClusterUnavailable(JobFailed):
    """The cluster does not respond; its applications may still be running."""


def _tree(root: type[MLSQLError]) -> Iterable[type[MLSQLError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def to_json(error: MLSQLError) -> dict[str, Any]:
    """Return the error as a JSON value: ``{"kind", "message", "facts"}``, with ``statement`` and ``origin`` if they are known."""
    document: dict[str, Any] = {"kind": type(error).__name__, "message": error.message, "facts": error.facts}
    if error.statement is not None:
        document["statement"] = error.statement
    if error.origin is not None:
        document["origin"] = dataclasses.asdict(error.origin)
    return document


def is_json(document: Any) -> bool:
    """Return whether a JSON value is one that :func:`to_json` may have written."""
    if not isinstance(document, dict) or not isinstance(document.get("facts"), dict):
        return False
    is_text = isinstance(document.get("kind"), str) and isinstance(document.get("message"), str)
    statement = document.get("statement")
    return is_text and (statement is None or isinstance(statement, int)) and _is_origin(document.get("origin"))


def _is_origin(document: Any) -> bool:
    expected = {"file": str, "line": int, "column": int}
    if document is None:
        return True
    is_whole = isinstance(document, dict) and document.keys() == expected.keys()
    return is_whole and all(isinstance(document[name], kind) for name, kind in expected.items())


def from_json(document: dict[str, Any]) -> MLSQLError:
    """Return the error that :func:`to_json` wrote; a class that this version does not have becomes :class:`JobFailed`.

    So does what it did not write, which another version or a damaged file may hold.
    """
    if not is_json(document):
        return JobFailed(f"the error of the job cannot be read: {reprlib.repr(document)[:200]}; see the log above, and retry")
    classes = {cls.__name__: cls for cls in _tree(MLSQLError)}
    origin = None if document.get("origin") is None else Origin(**document["origin"])
    error = classes.get(document["kind"], JobFailed)
    facts = {name: value for name, value in document["facts"].items() if name not in ("self", "message", "statement", "origin")}
    return error(document["message"], statement=document.get("statement"), origin=origin, **facts)


def find_nearest(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the known name that is most similar; None when none is at least as similar as ``likeness``, from 0 to 1."""
    plain = {name.lower().replace("_", ""): name for name in sorted(known)}
    near = difflib.get_close_matches(word.lower().replace("_", ""), plain, n=1, cutoff=likeness)
    return plain[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or the list of the known names when none is similar."""
    names = sorted(known)
    near = find_nearest(word, names)
    if near is not None:
        return f"; did you mean '{near}'?"
    return f"; known are {', '.join(names)}" if names else ""
