"""The documents of a function: the record of a package, the pointer with its history, and the refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from mlsql_runtime import codec
from mlsql_runtime.store.function_types import VECTOR, Contract, FunctionInput
from mlsql_runtime.store.manifest import FileEntry, ScriptFacts
from mlsql_runtime.store.signature import Signature


@dataclass(frozen=True, kw_only=True)
class FunctionRecord:
    """A function package: the pickled predict function and the model it loads, with all that an executor has to check.

    :param packages: those of the fit group that made the model.
    :param returns: ``vector``, or a type of Spark in DDL.
    :param signature: that of the version; None when it has none.
    :param greater_is_better: whether a greater score is the better one; None in packages of a model path, whose versions say so.
    """

    format_version: int
    function: str
    function_version: int
    created: datetime
    job_id: str
    contract: Contract
    python: str
    pickle: FileEntry
    script: ScriptFacts
    model_path: str
    version: int
    alg_index: int
    score: float | None
    feature_width: int | None
    train_params: Mapping[str, str] | None
    model_files: tuple[FileEntry, ...]
    packages: Mapping[str, str]
    input: FunctionInput = field(default="matrix", metadata=codec.ADDED)
    returns: str = field(default=VECTOR, metadata=codec.ADDED)
    signature: Signature | None = field(default=None, metadata=codec.ADDED)
    greater_is_better: bool | None = field(default=None, metadata=codec.ADDED)


@dataclass(frozen=True, kw_only=True)
class FunctionEvent:
    """What a registration or a rollback did, with the model behind it.

    :param job_id: None for a rollback, which is not a job.
    :param by: the user, None if unknown.
    :param reason: None if the registration had no gate, or the rollback gave none.
    :param threshold: the score that the gates asked for; None without one, and in what earlier versions have stored.
    """

    version: int
    alg_index: int
    score: float | None
    job_id: str | None
    at: datetime
    by: str | None
    reason: str | None
    threshold: float | None = field(default=None, metadata=codec.ADDED)


@dataclass(frozen=True, kw_only=True)
class PointerMove(FunctionEvent):
    """One change of a function's pointer."""

    happened: Literal["registered", "rolled back"]
    function_version: int


@dataclass(frozen=True, kw_only=True)
class FunctionPointer:
    """The package that a function's name points to: the last move of its history, oldest first."""

    format_version: int
    function: str
    history: tuple[PointerMove, ...]

    @property
    def current(self) -> PointerMove:
        return self.history[-1]


class Refusal(FunctionEvent):
    """A registration that did not pass its gates, for a reason; it has no package."""


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """The newest refused registrations of a function, oldest first.

    They are not part of the pointer, so that adding one cannot change, or undo, what is current.
    """

    format_version: int
    function: str
    refusals: tuple[Refusal, ...]
