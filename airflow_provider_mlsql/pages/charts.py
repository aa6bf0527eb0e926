"""The charts of pages as data: what ``static/charts.js`` draws, and the same numbers as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mlsql_runtime.store.curves import Curve, Curves, thin_curve

CHART_POINTS = 4000  # of all lines of a chart together
CELLS = 20_000  # of the table of a chart, which has a row for each step of any line
LINE_POINTS = 400  # of one
_LEAST_POINTS = 30
_PALETTE = 8  # colours of lines, then they come again
_SPARK_WIDTH, _SPARK_HEIGHT, _SPARK_MARGIN = 120.0, 24.0, 2.0

Number = int | float
LineKind = Literal["line", "points", "rings", "steps"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a chart, or points or rings without one. ``color`` is the name of a colour of the stylesheet."""

    label: str
    values: tuple[float | None, ...]
    kind: LineKind = "line"
    color: str = "c0"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart. ``x`` are ascending numbers, or seconds since 1970 if ``is_time``; each line has a value for each, or None."""

    title: str
    x_label: str
    x: tuple[Number, ...]
    lines: tuple[Line, ...]
    is_time: bool = False

    @property
    def rows(self) -> Iterable[tuple[Number, tuple[float | None, ...]]]:
        """The numbers of the chart, a row for each x."""
        return ((x, tuple(line.values[index] for line in self.lines)) for index, x in enumerate(self.x))

    @property
    def document(self) -> dict[str, object]:
        """What the script of the page reads."""
        lines = [{"label": line.label, "values": line.values, "kind": line.kind, "color": line.color} for line in self.lines]
        return {"title": self.title, "xLabel": self.x_label, "x": self.x, "lines": lines, "time": self.is_time}


def make_curve_charts(groups: Mapping[int, Curves]) -> list[Chart]:
    """Return a chart for each metric, with a line for each group that reported it."""
    metrics = dict.fromkeys(name for curves in groups.values() for name in curves)
    return [
        _make_curve_chart(name, {index: groups[index][name] for index in groups if name in groups[index]}) for name in metrics
    ]


def _make_curve_chart(metric: str, curves: Mapping[int, Curve]) -> Chart:
    points = max(_LEAST_POINTS, min(LINE_POINTS, CHART_POINTS // len(curves)))
    thinned = {index: thin_curve(curve, points) for index, curve in curves.items()}
    by_step = {index: dict(zip(curve.steps, curve.values, strict=True)) for index, curve in thinned.items()}
    steps = sorted({step for values in by_step.values() for step in values})
    every = -(-len(steps) * len(by_step) // CELLS) or 1
    if every > 1:  # each line keeps the last value of each interval
        ends = {step: steps[min(place + every - 1 - place % every, len(steps) - 1)] for place, step in enumerate(steps)}
        by_step = {index: {ends[step]: value for step, value in values.items()} for index, values in by_step.items()}
        steps = sorted(set(ends.values()))
    lines = (
        Line(label=f"group {index}", values=tuple(map(values.get, steps)), color=f"c{number % _PALETTE}")
        for number, (index, values) in enumerate(by_step.items())
    )
    return Chart(title=metric, x_label="step", x=tuple(steps), lines=tuple(lines))


def make_parameter_charts(params: Sequence[Mapping[str, str]], scores: Sequence[float | None]) -> list[Chart]:
    """Return a chart of the score over each parameter that is a number and differs between groups."""
    charts = []
    for name in dict.fromkeys(name for each in params for name in each):
        numbers = [_to_number(each.get(name)) for each in params]
        points = sorted((x, y) for x, y in zip(numbers, scores, strict=True) if x is not None and y is not None)
        if len({x for x, _ in points}) > 1 and all(x is not None for x in numbers):
            line = Line(label="score", values=tuple(y for _, y in points), kind="points")
            charts.append(Chart(title=f"score over {name}", x_label=name, x=tuple(x for x, _ in points), lines=(line,)))
    return charts


def _to_number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


@dataclass(frozen=True)
class Bar:
    """A bar from zero to a value, in percent of the width."""

    start: float
    width: float


def make_bars(values: Sequence[float | None]) -> list[Bar | None]:
    """Return a bar for each value, all to one scale that begins or ends at zero."""
    known = [value for value in values if value is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    span = (high - low) or 1.0
    return [None if v is None else Bar(100 * (min(v, 0) - low) / span, 100 * abs(v) / span) for v in values]


def make_sparkline(values: Sequence[float | None]) -> str | None:
    """Return the points of a small line for SVG, oldest first; None for fewer than two values."""
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return None
    low, high = min(value for _, value in known), max(value for _, value in known)
    across, up = (_SPARK_WIDTH - 2 * _SPARK_MARGIN) / (len(values) - 1), _SPARK_HEIGHT - 2 * _SPARK_MARGIN

    def y(value: float) -> float:
        return _SPARK_MARGIN + (up / 2 if high == low else up * (high - value) / (high - low))

    return " ".join(f"{_SPARK_MARGIN + across * index:.1f},{y(value):.1f}" for index, value in known)
