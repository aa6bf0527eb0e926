"""The protocol between a job and its script: the script's input, and the lines by which it reports results.

Input: one JSON document (:class:`ScriptInput`), whose path is in the environment variable MLSQL_SCRIPT_INPUT.
Output: lines on standard output with one of the marks below; every other line is the script's own. Before the marks that
:mod:`mlsql` prints is RECORD_START, so that they begin a line whatever the script has printed before (as in RFC 7464).
Standard library only: the modules that scripts import read it in the interpreter that the user chose.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError
from mlsql_runtime.events import LogLine, Metrics, Progress, ScriptEvent
from mlsql_runtime.feed.interface import LocalTable, ScriptTable
from mlsql_runtime.store.curves import CurveRecorder
from mlsql_runtime.store.function_types import VECTOR, Contract, FunctionInput
from mlsql_runtime.store.signature import Signature

PROTOCOL_VERSION = 1
INPUT_VARIABLE = "MLSQL_SCRIPT_INPUT"
RECORD_START = "\x1e"
MARK_START = "mlsql_"  # of all marks
SCORE_MARK = "mlsql_validation_score:"
REPORT_MARK = "mlsql_report:"
PROGRESS_MARK = "mlsql_progress:"
_SHOWN_CHARACTERS = 100
_SEED_DIGITS = 10  # of the largest seed, 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class ScriptInput:
    """The input of a script.

    ``function_file`` is where ``python_fun`` writes the pickled function, and beside it, in :func:`handover_file`, what it is.
    ``packages_file`` is where ``mlsql`` writes the names and versions of imported packages. ``data_request`` is the request file
    of :mod:`mlsql_runtime.script.data_request`; None when the files of ``tempDataLocalPath`` exist already, or there are none.
    ``signature`` is that of the training table, in other roles that of the version. ``columns`` are those of frames: the
    features, then the label, if the training names feature columns; empty for all columns of the table.
    ``options`` are those of register or predict, as text, by their names in MLSQL, and ``train_options`` those of the training of
    the model; both are empty for a training script. ``model_path`` is that of the training's statement.
    ``project`` is the folder of the script's files. ``model_packages`` are the packages that made the model of a batch script.
    ``resources`` are the addresses that Spark has assigned to the script's task, by the name of the resource.
    """

    protocol_version: int = PROTOCOL_VERSION
    role: Literal["train", "register", "predict"]
    fit_params: Mapping[str, str] = field(default_factory=dict)
    system_params: Mapping[str, str] = field(default_factory=dict)
    internal_params: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    train_options: Mapping[str, str] = field(default_factory=dict)
    data: ScriptTable | None = None
    validate: LocalTable | None = None
    signature: Signature | None = None
    columns: tuple[str, ...] = ()
    model_path: str | None = None
    function_file: str | None = None
    packages_file: str | None = None
    data_request: str | None = None
    project: str | None = None
    model_packages: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seed = self.system_params.get("seed", "0")
        if not seed.isdecimal() or len(seed) > _SEED_DIGITS:
            raise FormatError(f"system_params.seed: expected a whole number, got {seed[:_SHOWN_CHARACTERS]!r}")

    @property
    def params(self) -> Mapping[str, Mapping[str, Any]]:
        """The parameters of all kinds, under MLSQL's names for the kinds."""
        local_path = self.data.local_path if self.data else None
        of_predict = {} if self.role == "train" else {"fitParams": self.options, "trainParams": self.train_options}
        return {
            "fitParam": self.fit_params,
            "kafkaParam": self.data.kafka_params if self.data else {},
            "internalSystemParam": {**self.internal_params, **({"tempDataLocalPath": local_path} if local_path else {})},
            "systemParam": self.system_params,
            **of_predict,
        }

    @property
    def seed(self) -> int | None:
        seed = self.system_params.get("seed")
        return None if seed is None else int(seed)


@dataclass(frozen=True, kw_only=True)
class Handover:
    """How to call the function that a predict script registers. ``returns`` is as the script has it."""

    contract: Contract
    input: FunctionInput = "matrix"
    returns: str = VECTOR


def handover_file(function_file: str) -> str:
    """Return the path of the :class:`Handover` of a function."""
    return function_file + ".json"


def read_input() -> ScriptInput | None:
    """Read the input of the job that this process runs for; None outside of a job."""
    path = os.environ.get(INPUT_VARIABLE)
    if path is None:
        return None
    with open(path, "rb") as file:
        return codec.loads(ScriptInput, file.read(), path, version=("protocol_version", PROTOCOL_VERSION))


@dataclass
class ScriptReport:
    """The results in a script's lines, as they are read. ``score`` is the last one printed; None when that was not a number."""

    score: float | None = None
    metrics: dict[str, float | None] | None = None
    score_lines: int = 0
    warning: str | None = None
    curves: CurveRecorder = field(default_factory=CurveRecorder)

    def read(self, line: str) -> ScriptEvent:
        """Read one line, and return its event."""
        if line.startswith(REPORT_MARK):
            return self._read_report(line)
        if line.startswith(PROGRESS_MARK):
            return _read_progress(line)
        if SCORE_MARK in line:
            self._read_score(*line.rsplit(SCORE_MARK, 1))
        return LogLine(line)

    def _read_score(self, before: str, after: str) -> None:
        """Read the score behind a mark. Behind other text, such as a progress bar, only a number is a score."""
        text = next(iter(after.split(maxsplit=1)), "")
        try:
            score = float(text)
        except ValueError:
            if before.strip() or not text:
                return
            score = math.nan
        self.score_lines += 1
        self.score = score if math.isfinite(score) else None
        shown = text[:_SHOWN_CHARACTERS]
        self.warning = None if self.score is not None else f"the score printed last is {shown}, which counts as no score"

    def _read_report(self, line: str) -> LogLine | Metrics:
        try:
            document = json.loads(line[len(REPORT_MARK) :])
            metrics = {str(key): float(value) for key, value in document["metrics"].items()}
            step = None if document.get("step") is None else int(document["step"])
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return LogLine(line)
        values = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self.metrics = {**(self.metrics or {}), **values}
        self.curves.add(step, values)
        shown = ", ".join(f"{name}={value:g}" for name, value in metrics.items())
        return Metrics(step=step, values=values, text=shown if step is None else f"step {step}: {shown}")


def _read_progress(line: str) -> LogLine | Progress:
    try:
        document = json.loads(line[len(PROGRESS_MARK) :])
        progress = Progress(float(document["done"]), float(document["total"]))
        share = 1.0 if progress.done == progress.total == 0 else progress.done / progress.total
        is_finite = math.isfinite(share) and math.isfinite(progress.total)
        return progress if is_finite else LogLine(progress.text)
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
        return LogLine(line)
