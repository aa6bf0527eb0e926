"""The documents of a version. Its manifest is written last: a version that has one is complete and never changes.

To add to a document: give the new field a default and the metadata ``codec.ADDED``, so that older ones stay
readable. To change one: raise FORMAT_VERSION, keep reading the older formats here, and say so in CHANGELOG.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal, TypeVar

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError, InputError
from mlsql_runtime.plan import PythonEnv, TaskTry
from mlsql_runtime.result import Best, FitStatus, FitSummary, TrainResult
from mlsql_runtime.storage.relative_paths import check_plain
from mlsql_runtime.store.format_version import FORMAT_VERSION
from mlsql_runtime.store.signature import Signature
from mlsql_runtime.store.sources import Source

VersionState = Literal["complete", "failed", "unfinished"]
ImportFormat = Literal["mlflow", "pickle", "joblib"]
D = TypeVar("D")


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """A file of the version: path relative to the version's folder, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        check_plain(self.path, "an entry of a file")


@dataclass(frozen=True, kw_only=True)
class FitRecord:
    """The result of one fit group.

    :param message: one sentence about what happened, None if there is nothing to say.
    :param packages: versions of Python and of the packages that the script imported; empty if its process was killed.
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
        """The group's part of the XCom."""
        seconds = round((self.ended - self.started).total_seconds(), 3)
        return FitSummary(alg_index=self.alg_index, status=self.status, score=self.score, metrics=self.metrics, seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The training data. ``columns`` maps names to Spark types; ``feature_width`` is the length of the feature vectors."""

    rows: int
    validate_rows: int
    columns: Mapping[str, str]
    feature_column: str | None
    feature_width: int | None


@dataclass(frozen=True, kw_only=True)
class ScriptFacts:
    """A script: the name of its entry file, and a digest over all its files."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ImportFacts:
    """Where a version comes from that no training made here.

    :param format: that of the model.
    :param source: the path or URI that was imported, without passwords.
    :param by: user and host.
    :param facts: what the model says about itself, such as MLflow's ``run_id``.
    """

    format: ImportFormat
    source: str
    by: str | None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """One line for people."""
        facts = "; ".join(f"{name} {value}" for name, value in self.facts.items())
        return f"{self.format} model {self.source}" + (f" ({facts})" if facts else "") + (f", by {self.by}" if self.by else "")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A complete version.

    :param description: the text that the training was given.
    :param task: the try that published the version; None without Airflow.
    :param parameters: the system parameters, without the values of environment variables.
    :param environment: versions of the interpreter and of well-known packages installed for it, imported or not.
    :param sources: what the rows were read from, each before those that were made from it; empty for versions that were published
        without sources.
    :param signature: None for a table without feature columns, and for versions that were published without signatures.
    :param options: the other options of the training, by their names in MLSQL, without secrets.
    :param envs: the environment variables whose values are kept.
    :param requirements: the packages of the training's environment; None when they may hold a secret.
    :param imported: where an imported model comes from; None for a training.
    """

    state: ClassVar[VersionState] = "complete"
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
    description: str | None = field(default=None, metadata=codec.ADDED)
    task: TaskTry | None = field(default=None, metadata=codec.ADDED)
    signature: Signature | None = field(default=None, metadata=codec.ADDED)
    sources: tuple[Source, ...] = field(default=(), metadata=codec.ADDED)
    options: Mapping[str, str] = field(default_factory=dict, metadata=codec.ADDED)
    envs: Mapping[str, str] = field(default_factory=dict, metadata=codec.ADDED)
    requirements: str | None = field(default=None, metadata=codec.ADDED)
    imported: ImportFacts | None = field(default=None, metadata=codec.ADDED)

    @property
    def python(self) -> PythonEnv:
        """The interpreter of the training with its packages and variables, as far as they are kept.

        :raises FormatError: when no training can have had these parameters.
        """
        try:
            return PythonEnv.from_system_params(self.parameters, self.envs, self.requirements)
        except InputError as error:
            raise FormatError(f"the manifest of version {self.version}: {error.message}") from error

    @property
    def train_options(self) -> dict[str, str]:
        """All options of the training, by their names in MLSQL: those of fit groups as they are, others without secrets."""
        system = {f"systemParam.{name}": text for name, text in self.parameters.items()}
        groups = {f"fitParam.{fit.alg_index}.{name}": text for fit in self.fits for name, text in fit.params.items()}
        return {**self.options, **system, **groups}

    @property
    def best(self) -> Best:
        """The successful group with the best score. A group without a score ranks last; of equal ones the lower index wins."""

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
        """Return the XCom of the train operator, the sensor and the triggers."""
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
    """A training that published nothing. ``tails`` are the last lines of the failed groups' output, by group."""

    state: ClassVar[VersionState] = "failed"
    format_version: int
    job_id: str
    version: int
    created: datetime
    message: str
    fits: tuple[FitRecord, ...]
    tails: Mapping[str, tuple[str, ...]]
    task: TaskTry | None = field(default=None, metadata=codec.ADDED)


def load(cls: type[D], text: bytes, where: str) -> D:
    """Read a document of the store strictly.

    :raises FormatError: naming the field that is wrong, or the version that this software does not read.
    """
    return codec.loads(cls, text, where, version=("format_version", FORMAT_VERSION))


def check_subject(document: object, where: str, **expected: object) -> None:
    """Check that a document is about what its place says, and is not a copy of another one's.

    :param expected: the values of fields that its place tells, such as ``version=3``.
    :raises FormatError: naming the first field with another value.
    """
    for name, value in expected.items():
        if (found := getattr(document, name)) != value:
            raise FormatError(
                f"{where}: {name} is {str(found)[:100]}, its place says {value}; the file is damaged or is a copy of another one"
            )
