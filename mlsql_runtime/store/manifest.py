"""The documents of the model store. A manifest is written last: what has one is complete and never changes.

To change a document: raise FORMAT_VERSION, keep reading the older formats here, and say so in CHANGELOG.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from mlsql_runtime import codec
from mlsql_runtime.result import Best, FitStatus, FitSummary, TrainResult

FORMAT_VERSION = 1
Contract = Literal["row", "batch"]  # of a function: what it is called with; see python_fun
D = TypeVar("D")


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """A file of the version: path relative to the version's folder, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class FitRecord:
    """One fit group, in full. ``message`` says in one sentence what happened, when there is something to say; ``packages`` are
    Python and what its script imported, with versions: empty when it was killed.
    """

    alg_index: int
    status: FitStatus
    score: float | None
    metrics: Mapping[str, float | None]
    message: str | None
    params: Mapping[str, str]
    started: datetime
    ended: datetime
    packages: Mapping[str, str]

    @property
    def summary(self) -> FitSummary:
        seconds = round((self.ended - self.started).total_seconds(), 3)
        return FitSummary(alg_index=self.alg_index, status=self.status, score=self.score, metrics=self.metrics, seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What was trained on. ``columns`` maps names to Spark types; ``feature_width`` is the length of the feature vectors."""

    rows: int
    validate_rows: int
    columns: Mapping[str, str]
    feature_column: str | None
    feature_width: int | None


@dataclass(frozen=True, kw_only=True)
class ScriptFacts:
    """Which script: the name of its entry file, and a digest over all its files."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A complete version. ``parameters`` are the system parameters, without values of environment variables;
    ``environment`` are the interpreter and the well-known packages that are installed for it, imported or not.
    """

    format_version: int
    job_id: str
    version: int
    created: datetime
    script: ScriptFacts
    parameters: Mapping[str, str]
    greater_is_better: bool
    data: DataFacts
    fits: tuple[FitRecord, ...]
    environment: Mapping[str, str]
    files: tuple[FileEntry, ...]

    @property
    def best(self) -> Best:
        """The successful group with the best score; one without a score ranks last, the lower index first."""

        def rank(fit: FitRecord) -> tuple[bool, float, int]:
            score = 0.0 if fit.score is None else fit.score
            return (fit.score is None, -score if self.greater_is_better else score, fit.alg_index)

        chosen = min((fit for fit in self.fits if fit.status == "success"), key=rank)
        return Best(alg_index=chosen.alg_index, score=chosen.score)

    def fit(self, alg_index: int) -> FitRecord | None:
        return next((fit for fit in self.fits if fit.alg_index == alg_index), None)

    def files_below(self, folder: str) -> tuple[FileEntry, ...]:
        return tuple(entry for entry in self.files if entry.path.startswith(folder + "/"))

    def result(self, model_path: str) -> TrainResult:
        """The XCom of everything that answers with a version: the train operator and the sensor alike."""
        best = self.best
        return TrainResult(
            model_path=model_path,
            version=self.version,
            score=best.score,
            best=best,
            fits=tuple(fit.summary for fit in self.fits),
            rows=self.data.rows,
        )


@dataclass(frozen=True, kw_only=True)
class FailureRecord:
    """A training that published nothing, and why; ``tails`` are the last lines of the failed groups' output."""

    format_version: int
    job_id: str
    version: int
    created: datetime
    message: str
    fits: tuple[FitRecord, ...]
    tails: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class FunctionRecord:
    """A predict function: the pickle it lives in, and the model it answers for. Holds all that an executor must check.

    ``packages`` are those of the fit group, with which the model was made.
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


@dataclass(frozen=True, kw_only=True)
class PointerMove:
    """That a function's name was pointed to a package: what happened, when, by which job, on whose behalf, and why.

    ``job_id`` is None for a rollback, which is no job; ``by`` when nobody is known; ``reason`` when none was asked for.
    """

    happened: Literal["registered", "rolled back"]
    function_version: int
    version: int
    alg_index: int
    score: float | None
    job_id: str | None
    at: datetime
    by: str | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class FunctionPointer:
    """Which package a function name means, with everything it meant before; the last move is the current one."""

    format_version: int
    function: str
    history: tuple[PointerMove, ...]

    @property
    def current(self) -> PointerMove:
        return self.history[-1]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A registration that did not pass its gates; there is no package for it."""

    version: int
    alg_index: int
    score: float | None
    job_id: str
    at: datetime
    by: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """The newest registrations that were refused for a name, oldest first.

    Apart from the pointer, so that writing one down cannot change, or undo, what is current.
    """

    format_version: int
    function: str
    refusals: tuple[Refusal, ...]


def load(cls: type[D], text: bytes, where: str) -> D:
    """Read one of the documents above strictly.

    :raises FormatError: naming the field that is wrong, or the version that this software does not read.
    """
    return codec.loads(cls, text, where, version=("format_version", FORMAT_VERSION))
