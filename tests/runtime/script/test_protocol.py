from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError
from mlsql_runtime.events import LogLine, Metrics, Progress, ScriptEvent
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.script.protocol import INPUT_VARIABLE, PROTOCOL_VERSION, ScriptInput, ScriptReport, read_input

TOLD = ScriptInput(
    role="train",
    fit_params={"alpha": "0.1"},
    internal_params={"resource": {"dict": "/tmp/d"}},
    data=TableFiles(path="/tmp/data", format="json", options={}, rows=3, schema=""),
)


@pytest.mark.parametrize(
    ("line", "score"),
    [
        ("mlsql_validation_score:0.5", 0.5),
        ("mlsql_validation_score: 0.5", 0.5),
        (" \t mlsql_validation_score:\t-1e-3", -0.001),
        ("mlsql_validation_score:7", 7.0),
        ("mlsql_validation_score:0.5 on 30 rows", 0.5),
        ("mlsql_validation_score:nan", None),
        ("mlsql_validation_score:NaN", None),
        ("mlsql_validation_score:inf", None),
        ("mlsql_validation_score:-Infinity", None),
        ("mlsql_validation_score:1e999", None),
        ("mlsql_validation_score:good", None),
        ("mlsql_validation_score:0,5", None),
        ("the mlsql_validation_score:0.5", 0.5),
        (" 50%|███  mlsql_validation_score:0.5", 0.5),
        ("fold 1 mlsql_validation_score:0.25 fold 2 mlsql_validation_score:0.5", 0.5),
        ("fold 1 mlsql_validation_score:nan", None),
    ],
)
def test_a_score_line(line: str, score: float | None) -> None:
    report = ScriptReport()
    assert report.read(line) == LogLine(line)
    assert (report.score, report.score_lines) == (score, 1)
    assert (report.warning is None) == (score is not None)
    if report.warning:
        assert line.rsplit(":", 1)[1] in report.warning


@pytest.mark.parametrize(
    "line",
    [
        *("", "score 0.5", "mlsql_validation_score", "mlsql_validation_score:", "mlsql_score:1"),
        *("the mlsql_validation_score:good", "print('mlsql_validation_score:0.5')", '"mlsql_validation_score:%f" % score'),
    ],
)
def test_a_line_without_a_score(line: str) -> None:
    report = ScriptReport()
    assert report.read(line) == LogLine(line)
    assert report == ScriptReport()


@pytest.mark.parametrize(
    ("scores", "last", "warned"), [(["0.9", "0.1"], 0.1, False), (["nan", "0.1"], 0.1, False), (["0.9", "nan"], None, True)]
)
def test_the_last_score_counts(scores: list[str], last: float | None, warned: bool) -> None:
    report = ScriptReport()
    for score in scores:
        report.read(f"mlsql_validation_score:{score}")
    assert (report.score, report.score_lines, report.warning is not None) == (last, 2, warned)


def test_reported_metrics_are_kept_and_shown() -> None:
    report = ScriptReport()
    assert report.metrics is None
    assert report.read('mlsql_report:{"step": 0, "metrics": {"loss": 0.5, "auc": NaN}}') == Metrics(
        step=0, values={"loss": 0.5, "auc": None}, text="step 0: loss=0.5, auc=nan"
    )
    assert report.read('mlsql_report:{"step": null, "metrics": {"loss": 0.25, "size": 3}}') == Metrics(
        step=None, values={"loss": 0.25, "size": 3.0}, text="loss=0.25, size=3"
    )
    assert report.metrics == {"loss": 0.25, "auc": None, "size": 3.0}
    assert math.isfinite(sum(value for value in report.metrics.values() if value is not None))


@pytest.mark.parametrize(
    ("document", "event"),
    [
        ({"done": 1, "total": 4}, Progress(1, 4)),
        ({"done": 0.5, "total": 1}, Progress(0.5, 1)),
        ({"done": math.inf, "total": 1}, LogLine("progress: inf of 1 (inf%)")),
        ({"done": 0, "total": 0}, Progress(0, 0)),
        ({"done": 1, "total": math.nan}, LogLine("progress: 1 of nan (nan%)")),
    ],
)
def test_progress_is_read(document: Any, event: ScriptEvent) -> None:
    assert ScriptReport().read("mlsql_progress:" + json.dumps(document)) == event


@pytest.mark.parametrize(
    "line",
    [
        "mlsql_report:",
        "mlsql_report:{",
        "mlsql_report:[]",
        "mlsql_report:7",
        "mlsql_report:" + "[" * 100_000,
        'mlsql_report:{"metrics": ' * 50_000,
        "mlsql_progress:" + "[" * 100_000,
        'mlsql_report:{"metrics": 3}',
        'mlsql_report:{"metrics": {"loss": "low"}}',
        'mlsql_report:{"metrics": {"loss": null}}',
        'mlsql_report:{"metrics": {"loss": 1' + "0" * 400 + "}}",
        "mlsql_progress:",
        "mlsql_progress:{}",
        "mlsql_progress:[1, 2]",
        'mlsql_progress:{"done": 1, "total": 0}',
        'mlsql_progress:{"done": 1' + "0" * 400 + ', "total": 1}',
    ],
)
def test_a_line_that_only_looks_like_an_answer_is_shown_as_it_is(line: str) -> None:
    report = ScriptReport()
    assert report.read(line) == LogLine(line)
    assert report == ScriptReport()


def test_a_script_reads_its_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "input.json").write_text(codec.dumps(TOLD))
    monkeypatch.setenv(INPUT_VARIABLE, str(tmp_path / "input.json"))
    assert read_input() == TOLD


def test_outside_of_a_job_a_script_has_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INPUT_VARIABLE, raising=False)
    assert read_input() is None


@pytest.mark.parametrize("seed", ["", "x", "-1", "9" * 5000])
def test_a_seed_that_is_no_number_is_refused(seed: str) -> None:
    with pytest.raises(FormatError, match=r"system_params\.seed: expected a whole number"):
        ScriptInput(role="train", system_params={"seed": seed})


def test_another_protocol_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "input.json").write_text(json.dumps(codec.encode(TOLD) | {"protocol_version": PROTOCOL_VERSION + 1}))
    monkeypatch.setenv(INPUT_VARIABLE, str(tmp_path / "input.json"))
    with pytest.raises(FormatError) as caught:
        read_input()
    assert caught.value.facts == {"found": PROTOCOL_VERSION + 1, "supported": PROTOCOL_VERSION}
