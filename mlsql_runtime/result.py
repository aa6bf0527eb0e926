"""The result of a job: one small JSON document, from which every XCom is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from mlsql_runtime import codec, errors
from mlsql_runtime.data_sets import JobLineage
from mlsql_runtime.errors import MLSQLError, PreflightFailed

RESULT_VERSION = 1
FitStatus = Literal["success", "failed", "timeout"]


@dataclass(frozen=True, kw_only=True)
class Best:
    """The fit group to use, and its score."""

    alg_index: int
    score: float | None


@dataclass(frozen=True, kw_only=True)
class FitSummary:
    """One fit group in the XCom. ``score`` is None if the script printed none, or one that is not finite."""

    alg_index: int
    status: FitStatus
    score: float | None
    metrics: Mapping[str, float | None]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A published version. ``rows`` counts the training rows, without held-out ones."""

    tag: ClassVar[str] = "train"
    model_path: str
    version: int
    score: float | None
    best: Best
    fits: tuple[FitSummary, ...]
    rows: int


@dataclass(frozen=True, kw_only=True)
class RegisterResult:
    """The outcome of a register statement. If it did not register, ``function_version`` is None.

    ``reason`` says why it did or did not; None when there was no gate.
    """

    tag: ClassVar[str] = "register"
    function: str
    registered: bool
    reason: str | None
    model_path: str
    version: int
    alg_index: int
    score: float | None
    function_version: int | None


@dataclass(frozen=True, kw_only=True)
class SaveResult:
    """The output of a save statement; ``rows`` is None if nothing was written (mode ``ignore``)."""

    tag: ClassVar[str] = "save"
    format: str
    output: str | None
    rows: int | None


@dataclass(frozen=True, kw_only=True)
class FunctionUse:
    """A registered function that a query called as ``name``, and the model behind it."""

    name: str
    model_path: str
    function: str
    function_version: int
    version: int
    alg_index: int
    score: float | None


@dataclass(frozen=True, kw_only=True)
class SelectResult:
    """A select statement that called registered functions."""

    tag: ClassVar[str] = "select"
    table: str
    functions: tuple[FunctionUse, ...]


@dataclass(frozen=True, kw_only=True)
class ShowResult:
    """The first rows of a table, as JSON values in the order of ``columns``; ``more`` tells whether the table has others."""

    tag: ClassVar[str] = "show"
    table: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool


@dataclass(frozen=True, kw_only=True)
class HostProblem:
    """A reason why a host cannot run a script. ``message`` names the host and says how to repair it."""

    kind: Literal["interpreter", "version", "packages", "environment", "scratch", "storage"]
    message: str


@dataclass(frozen=True, kw_only=True)
class HostReport:
    """The state of an executor's host. ``interpreter`` is the path of the script's interpreter, None if there is none, and
    ``versions`` are those of Python and packages in it. ``free`` is the number of bytes that are free in ``scratch``, the folder
    for the scripts' folders.
    """

    host: str
    executor: str
    interpreter: str | None
    versions: Mapping[str, str]
    scratch: str
    free: int | None
    problems: tuple[HostProblem, ...]


@dataclass(frozen=True, kw_only=True)
class PreflightResult:
    """The reports of the executors, and the hosts of executors that did not respond."""

    tag: ClassVar[str] = "preflight"
    hosts: tuple[HostReport, ...]
    silent: tuple[str, ...]

    @property
    def problems(self) -> tuple[HostProblem, ...]:
        """Every problem once, however many executors have it."""
        return tuple(dict.fromkeys(problem for host in self.hosts for problem in host.problems))

    def raise_for_problems(self) -> None:
        """Raise one error for all problems.

        :raises PreflightFailed: if there is one.
        """
        if not self.problems:
            return
        messages = [problem.message for problem in self.problems]
        hosts = sorted({report.host for report in self.hosts})
        bad = sorted({report.host for report in self.hosts if report.problems})
        head = f"{len(bad)} of {len(hosts)} host{'s' if len(hosts) > 1 else ''} cannot run the script:"
        message = messages[0] if len(messages) == 1 else "\n".join([head, *messages])
        raise PreflightFailed(message, problems=codec.encode(self.problems), hosts=bad)


StepResult = TrainResult | RegisterResult | SaveResult | SelectResult | ShowResult | PreflightResult


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The outcome of a plan: the results of its statements in order, and the error that ended it, as JSON (None: no error).

    :param lineage: what the job has read and written; None unless the plan asks for it.
    """

    job_id: str
    steps: tuple[StepResult, ...]
    error: Mapping[str, Any] | None = None
    lineage: JobLineage | None = field(default=None, metadata=codec.ADDED)
    result_version: int = RESULT_VERSION

    @classmethod
    def of_error(
        cls, job_id: str, steps: tuple[StepResult, ...], error: MLSQLError, lineage: JobLineage | None = None
    ) -> RunResult:
        """Return the result of a run that ``error`` ended."""
        return cls(job_id=job_id, steps=steps, error=errors.to_json(error), lineage=lineage)

    @property
    def is_successful(self) -> bool:
        return self.error is None

    def raise_for_error(self) -> None:
        """Raise the error that ended the run, as the class it had in the Spark application, with the run's lineage."""
        if self.error is not None:
            error = errors.from_json(dict(self.error))
            error.lineage = self.lineage
            raise error


def load_result(text: str | bytes, where: str = "result.json") -> RunResult:
    """Return the result that a JSON text holds.

    :raises FormatError: when the text is not a result of this version.
    """
    return codec.loads(RunResult, text, where, version=("result_version", RESULT_VERSION))


def to_xcom(step: StepResult | FunctionUse) -> dict[str, Any]:
    """Return the fields as plain JSON values, without the tag."""
    document: dict[str, Any] = codec.encode(step)
    document.pop(codec.TAG, None)
    return document


def script_to_xcom(result: RunResult) -> dict[str, Any]:
    """Return the results of a script as plain JSON values, by kind, with the table that the script shows.

    :return: ``{"train": […], "register": […], "save": […], "table": {"table", "columns", "rows", "more"} | None}``
    """
    kinds = {"train": TrainResult, "register": RegisterResult, "save": SaveResult}
    done: dict[str, Any] = {
        name: [to_xcom(step) for step in result.steps if isinstance(step, kind)] for name, kind in kinds.items()
    }
    shown = [to_xcom(step) for step in result.steps if isinstance(step, ShowResult)]
    return {**done, "table": shown[-1] if shown else None}
