"""Charts as data: what is drawn, and within which bounds."""

from __future__ import annotations

import json

import pytest

from airflow_provider_mlsql.pages.charts import (
    CELLS,
    CHART_POINTS,
    LINE_POINTS,
    Bar,
    make_bars,
    make_curve_charts,
    make_parameter_charts,
    make_sparkline,
)
from airflow_provider_mlsql.pages.html import format_chart
from mlsql_runtime.store.curves import Curve


def curve(*steps: int) -> Curve:
    return Curve(steps=steps, values=tuple(step / 10 for step in steps), reports=len(steps))


def test_groups_with_different_steps_share_a_chart() -> None:
    loss, auc = make_curve_charts({0: {"loss": curve(0, 2)}, 3: {"loss": curve(1, 2), "auc": curve(1)}})
    assert (loss.title, loss.x) == ("loss", (0, 1, 2))
    assert [(line.label, line.values) for line in loss.lines] == [("group 0", (0.0, None, 0.2)), ("group 3", (None, 0.1, 0.2))]
    assert list(loss.rows) == [(0, (0.0, None)), (1, (None, 0.1)), (2, (0.2, 0.2))]
    assert (auc.title, [line.label for line in auc.lines]) == ("auc", ["group 3"])
    assert json.loads(format_chart(loss))["lines"][1]["values"] == [None, 0.1, 0.2]


@pytest.mark.parametrize("groups", [1, 50])
def test_a_chart_has_a_bounded_number_of_points(groups: int) -> None:
    (chart,) = make_curve_charts({index: {"loss": curve(*range(5000))} for index in range(groups)})
    assert len(chart.x) <= LINE_POINTS
    assert len(chart.x) * groups <= 2 * CHART_POINTS


def test_lines_with_different_steps_have_a_bounded_table_and_keep_their_last_values() -> None:
    """Groups that stop early are thinned to different steps."""
    lengths = [300 + 7 * index for index in range(100)]
    (chart,) = make_curve_charts({index: {"loss": curve(*range(length))} for index, length in enumerate(lengths)})
    assert len(chart.x) * len(chart.lines) <= CELLS
    assert chart.x[-1] == lengths[-1] - 1
    for line, length in zip(chart.lines, lengths, strict=True):
        assert [value for value in line.values if value is not None][-1] == (length - 1) / 10


def test_parameters_that_are_numbers_and_differ_have_charts() -> None:
    params = [{"alpha": "0.1", "solver": "a", "n": "1"}, {"alpha": "1e-3", "solver": "b", "n": "1"}, {"alpha": "inf", "n": "1"}]
    (chart,) = make_parameter_charts(params[:2], [0.5, 0.25])
    assert (chart.title, chart.x, chart.lines[0].values) == ("score over alpha", (0.001, 0.1), (0.25, 0.5))
    assert make_parameter_charts(params, [0.5, 0.25, 0.1]) == []


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ((), []),
        ((0.5, 1.0, None), [Bar(0, 50), Bar(0, 100), None]),
        ((-1.0, -3.0), [Bar(pytest.approx(200 / 3), pytest.approx(100 / 3)), Bar(0, 100)]),
        ((-1.0, 1.0), [Bar(0, 50), Bar(50, 50)]),
        ((0.0,), [Bar(0, 0)]),
    ],
)
def test_bars_begin_at_zero(values: tuple[float | None, ...], bars: list[Bar | None]) -> None:
    assert make_bars(values) == bars


def test_small_lines() -> None:
    assert make_sparkline([0.5]) is None
    assert make_sparkline([None, 0.5]) is None
    assert make_sparkline([0.0, None, 1.0]) == "2.0,22.0 118.0,2.0"
    assert make_sparkline([1.0, 1.0]) == "2.0,12.0 118.0,12.0"
