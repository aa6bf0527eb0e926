"""Metric curves: bounded while a script reports, and in the version."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from support.stores import fail, publish

from mlsql_runtime.errors import FormatError
from mlsql_runtime.script.protocol import ScriptReport
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.curve_files import encode_curves, read_curves, write_curves
from mlsql_runtime.store.curves import CURVE_POINTS, GROUP_METRICS, VERSION_POINTS, Curve, CurveRecorder, thin_curve


def record(*values: float | None, points: int = CURVE_POINTS) -> Curve:
    recorder = CurveRecorder(points)
    for value in values:
        recorder.add(None, {"loss": value})
    return recorder.curves["loss"]


def test_few_reports_are_kept_as_they_are() -> None:
    assert record(0.5, None, 0.25) == Curve(steps=(1, 2, 3), values=(0.5, None, 0.25), reports=3)
    assert CurveRecorder().curves == {}


def test_many_reports_are_thinned_and_keep_their_first_last_lowest_and_highest() -> None:
    values = [math.sin(number / 500) for number in range(12_345)]
    values[7_001], values[9_003] = 7.0, -7.0
    curve = record(*values, points=50)
    assert len(curve.values) <= 50
    assert (curve.reports, curve.steps[0], curve.steps[-1]) == (12_345, 1, 12_345)
    points = dict(zip(curve.steps, curve.values, strict=True))
    assert (points[7_002], points[9_004]) == (7.0, -7.0)
    assert all(points[step] == values[step - 1] for step in points)
    assert max(after - before for before, after in zip(curve.steps, curve.steps[1:], strict=False)) < 12_345 / 10


def test_a_curve_that_was_never_finite_is_thinned() -> None:
    assert len(thin_curve(Curve(steps=tuple(range(99)), values=(None,) * 99, reports=99), 10).values) <= 10


def test_memory_is_bounded_however_much_a_script_reports() -> None:
    recorder = CurveRecorder(points=10)
    for step in range(1000):
        recorder.add(step, {"loss": 1.0, f"metric {step}": 1.0})
    assert len(recorder.curves) == GROUP_METRICS
    assert len(recorder.curves["loss"].values) <= 10


def test_a_script_s_lines_are_recorded_step_by_step() -> None:
    report = ScriptReport()
    for line in ('{"step": 10, "metrics": {"loss": 0.5}}', '{"step": 20, "metrics": {"loss": NaN, "auc": 1}}', "nonsense"):
        report.read(f"mlsql_report:{line}")
    curves = report.curves.curves
    assert curves["loss"] == Curve(steps=(10, 20), values=(0.5, None), reports=2)
    assert curves["auc"] == Curve(steps=(20,), values=(1.0,), reports=1)


@pytest.mark.parametrize("scheme", ["memory:/", "local"])
def test_the_curves_of_all_groups_are_one_file_of_the_version(scheme: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = f"{tmp_path_factory.mktemp('m')}"
    root = Location.of(f"{scheme}{home}" if scheme == "memory:/" else home)
    staged = [root / f"staged-{index}" for index in range(40)]
    for index, place in enumerate(staged[:-1]):
        curve = record(*(float(number) for number in range(CURVE_POINTS)))
        place.write(encode_curves({str(index): {"loss": curve}}))
    write_curves(root / "_model_1", staged)
    found = read_curves(root / "_model_1")
    assert list(found) == list(range(39))
    assert sum(len(curves["loss"].values) for curves in found.values()) <= VERSION_POINTS
    assert {curves["loss"].values[-1] for curves in found.values()} == {CURVE_POINTS - 1}


def test_versions_without_reports_have_no_such_file(tmp_path: Path) -> None:
    root = str(tmp_path)
    publish(root, 0.5)
    fail(root, "no good")
    assert [read_curves(layout.version_dir(Location.of(root), number)) for number in (1, 2)] == [{}, {}]
    write_curves(Location.of(root) / "_model_1", [Location.of(root) / "nowhere"])
    assert not (tmp_path / "_model_1/curves.json").exists()


def test_damage_is_named(tmp_path: Path) -> None:
    (tmp_path / layout.CURVES).write_text("{")
    with pytest.raises(FormatError, match=r"curves\.json: this is not JSON"):
        read_curves(Location.of(str(tmp_path)))
