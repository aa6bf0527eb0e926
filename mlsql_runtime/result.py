"""What a job answers: one small JSON document, the source of every XCom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mlsql_runtime import codec, errors
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
    """One fit group, in short. ``score`` is None when the script printed none, or NaN."""

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
    """What a register statement did. ``function_version`` is None when it refused, and ``reason`` says why."""

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
    """What a save statement wrote; ``rows`` is None when the writer did not run (mode ``ignore``)."""

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
    """The first rows of a table, as JSON values in the order of ``columns``; ``more`` when there are others."""

    tag: ClassVar[str] = "show"
    table: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool


@dataclass(frozen=True, kw_only=True)
class HostProblem:
    """Why a host cannot run a script, in a sentence that names the host and says how to mend it."""

    kind: Literal["interpreter", "version", "packages", "environment", "scratch", "storage"]
    message: str


@dataclass(frozen=True, kw_only=True)
class HostReport:
    """What an executor has on its host. ``interpreter`` is the script's, None for none, and ``versions`` those of Python
    and packages in it; ``free`` bytes are left where scripts have their folders.
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
    """All executors that were looked at, and the hosts of those that did not answer."""

    tag: ClassVar[str] = "preflight"
    hosts: tuple[HostReport, ...]
    silent: tuple[str, ...]

    @property
    def problems(self) -> tuple[HostProblem, ...]:
        """Each once, whatever number of executors have it."""
        return tuple(dict.fromkeys(problem for host in self.hosts for problem in host.problems))

    def raise_for_problems(self) -> None:
        """Raise one error for all problems.

        :raises PreflightFailed: if there is one.
        """
        if not self.problems:
            return
        told = [problem.message for problem in self.problems]
        hosts = sorted({report.host for report in self.hosts})
        bad = sorted({report.host for report in self.hosts if report.problems})
        head = f"{len(bad)} of {len(hosts)} host{'s' if len(hosts) > 1 else ''} cannot run the script:"
        message = told[0] if len(told) == 1 else "\n".join([head, *told])
        raise PreflightFailed(message, problems=codec.encode(self.problems), hosts=bad)


StepResult = TrainResult | RegisterResult | SaveResult | SelectResult | ShowResult | PreflightResult


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The outcome of a plan: the results of its statements in order, and the error that ended it, if one did."""

    job_id: str
    steps: tuple[StepResult, ...]
    error: Mapping[str, Any] | None = None
    result_version: int = RESULT_VERSION

    @classmethod
    def of_error(cls, job_id: str, steps: tuple[StepResult, ...], error: MLSQLError) -> RunResult:
        """Return the result of a run that ``error`` ended."""
        return cls(job_id=job_id, steps=steps, error=errors.to_json(error))

    @property
    def is_successful(self) -> bool:
        return self.error is None

    def raise_for_error(self) -> None:
        """Raise the error that ended the run, as the class it had in the Spark application."""
        if self.error is not None:
            raise errors.from_json(dict(self.error))


def load_result(text: str | bytes, where: str = "result.json") -> RunResult:
    """The result in JSON text; FormatError when it is not one."""
    return codec.loads(RunResult, text, where, version=("result_version", RESULT_VERSION))


def as_xcom(step: StepResult | FunctionUse) -> dict[str, Any]:
    """The fields as plain JSON values, without the tag."""
    document: dict[str, Any] = codec.encode(step)
    document.pop(codec.TAG, None)
    return document


def script_xcom(result: RunResult) -> dict[str, Any]:
    """What a script did, as plain JSON values: the results of its statements by kind, and the table it shows, or None.

    ``{"train": […], "register": […], "save": […], "table": {"table", "columns", "rows", "more"} | None}``
    """
    kinds = {"train": TrainResult, "register": RegisterResult, "save": SaveResult}
    done: dict[str, Any] = {
        name: [as_xcom(step) for step in result.steps if isinstance(step, kind)] for name, kind in kinds.items()
    }
    shown = [as_xcom(step) for step in result.steps if isinstance(step, ShowResult)]
    return {**done, "table": shown[-1] if shown else None}
