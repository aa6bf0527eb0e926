"""Every exception that this project raises on purpose.

::

    MLSQLError
    ├── InputError              what the caller gave is wrong; trying again cannot help
    │   ├── FormatError         a JSON document is not what its reader expects
    │   ├── DataError           a table is empty, lacks a column, or holds vectors of another width
    │   ├── ScriptNotFound      no script at the path given
    │   ├── InterpreterError    a Python interpreter is missing or of the wrong version
    │   ├── PreflightFailed     hosts lack what the job needs; trying again helps once they are mended
    │   ├── VersionNotFound     the model path has no such version, fit group or function
    │   ├── KafkaRefused        the brokers refuse what was asked: credentials, permissions, topic settings
    │   └── Refused             a model did not pass the gates of its registration, and that was to fail
    ├── IntegrityError          files or records are not those their manifest names
    ├── ScriptFailed            a user's script, or a function it made, failed
    │   └── TrainingFailed      more fit groups failed than ``failOn`` allows
    ├── StorageError            a path cannot be read or written
    ├── KafkaUnavailable        brokers do not answer: worth a retry
    └── JobFailed               the Spark application ended without a result: worth a retry
        └── ClusterUnavailable  the cluster does not answer: its applications may go on, and a retry follows them

``InputError`` and ``ScriptFailed`` are decided by what the user wrote, the other branches by the world around it, so an
Airflow retry rule can tell them apart. An error crosses from the Spark application to the Airflow task as
:func:`to_json` and comes back as the same class.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any


class MLSQLError(Exception):
    """Base class. ``message`` is one sentence for people; ``facts`` are the same facts for programs (JSON values)."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def at(self, statement: int) -> MLSQLError:
        """This error, with the number of the plan's statement that it is about among its facts, from 0."""
        self.facts.setdefault("statement", statement)
        return self


class InputError(MLSQLError):
    """What the caller gave is wrong."""


class FormatError(InputError):
    """A JSON document is not what its reader expects."""


class DataError(InputError):
    """A table is empty, lacks a column, or holds values that cannot be used."""


class ScriptNotFound(InputError):
    """No script at the path given."""


class InterpreterError(InputError):
    """A Python interpreter is missing or of the wrong version."""


class PreflightFailed(InputError):
    """Executor hosts lack what the job needs: interpreter, packages, scratch space, storage. Says all of it, of all hosts."""


class VersionNotFound(InputError):
    """The model path has no such version, fit group or function."""


class KafkaRefused(InputError):
    """The brokers refuse what was asked: credentials, permissions, topic settings."""


class Refused(InputError):
    """A model did not pass the gates of its registration, and that was to fail."""


class IntegrityError(MLSQLError):
    """Files or records are not those their manifest names."""


class ScriptFailed(MLSQLError):
    """A user's script, or a function that it made, failed."""


class TrainingFailed(ScriptFailed):
    """More fit groups failed than ``failOn`` allows."""


class StorageError(MLSQLError):
    """A path cannot be read or written."""


class KafkaUnavailable(MLSQLError):
    """Brokers do not answer."""


class JobFailed(MLSQLError):
    """The Spark application ended without a result."""


class ClusterUnavailable(JobFailed):
    """The cluster does not answer; its applications may well go on."""


def _tree(root: type[MLSQLError]) -> Iterable[type[MLSQLError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def to_json(error: MLSQLError) -> dict[str, Any]:
    """``{"kind", "message", "facts"}``."""
    return {"kind": type(error).__name__, "message": error.message, "facts": error.facts}


def from_json(document: dict[str, Any]) -> MLSQLError:
    """The error that :func:`to_json` wrote; a kind this version does not know becomes a :class:`JobFailed`."""
    kinds = {cls.__name__: cls for cls in _tree(MLSQLError)}
    return kinds.get(document["kind"], JobFailed)(document["message"], **document["facts"])


_IN_TRACEBACK = re.compile(r"^mlsql_runtime\.errors\.(\w+): (.+)$", re.MULTILINE)


def from_traceback(text: str) -> MLSQLError | None:
    """The error of ours that ended a Spark task, read from the traceback that Spark hands to the driver."""
    found = _IN_TRACEBACK.findall(text)
    if not found:
        return None
    kind, message = found[-1]
    return from_json({"kind": kind, "message": message.strip(), "facts": {}})


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"``, or the list of what is known when nothing is near."""
    plain = {name.lower().replace("_", ""): name for name in sorted(known)}
    near = difflib.get_close_matches(word.lower().replace("_", ""), plain, n=1)
    if near:
        return f"; did you mean '{plain[near[0]]}'?"
    return f"; known are {', '.join(plain.values())}" if plain else ""
