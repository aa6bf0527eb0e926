"""Metric curves: what the scripts of a training reported, step by step, kept in one small file of the version.

A curve with more reports than it may have points keeps the first, the last, the lowest and the highest, and of the others every
n-th. Standard library only: the protocol of scripts records with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mlsql_runtime.store.format_version import FORMAT_VERSION

T = TypeVar("T")
CURVE_POINTS = 1000  # of a metric in a group
VERSION_POINTS = 20_000  # of all curves of a version
GROUP_METRICS = 100  # metrics of a group that have curves
LEAST_POINTS = 8  # of a curve, however many there are


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The values of a metric at its steps, in the order of the reports.

    :param steps: those of the script; reports without a step are counted from 1.
    :param values: None for a value that was not finite.
    :param reports: how many there were; more than points if the curve was thinned.
    """

    steps: tuple[int, ...]
    values: tuple[float | None, ...]
    reports: int

    @property
    def finite(self) -> tuple[float, ...]:
        return tuple(value for value in self.values if value is not None)


Curves = Mapping[str, Curve]  # of a group, by metric


@dataclass(frozen=True, kw_only=True)
class CurvesDocument:
    """The curves of a version, by group."""

    format_version: int = FORMAT_VERSION
    groups: Mapping[str, Curves]


@dataclass
class CurveRecorder:
    """Records the reports of one script. Of each metric it holds at most twice as many points as are kept."""

    points: int = CURVE_POINTS
    _recording: dict[str, _Recording] = field(default_factory=dict)

    def add(self, step: int | None, values: Mapping[str, float | None]) -> None:
        """Add a report. Metrics beyond the first hundred have no curve."""
        for name, value in values.items():
            recording = self._recording.get(name)
            if recording is None:
                if len(self._recording) == GROUP_METRICS:
                    continue
                recording = self._recording[name] = _Recording(self.points)
            recording.add(step, value)

    @property
    def curves(self) -> dict[str, Curve]:
        """The curves so far, each thinned to the points that it may have."""
        return {name: recording.curve for name, recording in self._recording.items()}


_Point = tuple[int, int, float | None]  # number of the report, step, value


class _Recording:
    """The reports of one metric: every n-th, with n doubled when there are too many, and those that are never left out."""

    def __init__(self, points: int) -> None:
        self._points, self._stride, self._reports = points, 1, 0
        self._kept: list[_Point] = []
        self._last: _Point | None = None
        self._lowest: tuple[float, _Point] | None = None
        self._highest: tuple[float, _Point] | None = None

    def add(self, step: int | None, value: float | None) -> None:
        number = self._reports
        self._reports += 1
        self._last = point = (number, self._reports if step is None else step, value)
        if value is not None:
            if self._lowest is None or value < self._lowest[0]:
                self._lowest = (value, point)
            if self._highest is None or value > self._highest[0]:
                self._highest = (value, point)
        if number % self._stride == 0:
            self._kept.append(point)
            if len(self._kept) == 2 * self._points:
                self._kept, self._stride = self._kept[::2], 2 * self._stride

    @property
    def curve(self) -> Curve:
        never_left_out = [self._last, *(pair[1] for pair in (self._lowest, self._highest) if pair)]
        points = sorted({point[0]: point for point in (*self._kept, *filter(None, never_left_out))}.values())
        curve = Curve(steps=tuple(p[1] for p in points), values=tuple(p[2] for p in points), reports=self._reports)
        return thin_curve(curve, self._points)


def thin_curve(curve: Curve, points: int) -> Curve:
    """Return the curve with at most ``points`` points, of which there are at least four: first, last, lowest and highest stay."""
    count = len(curve.values)
    if count <= points:
        return curve
    finite = [(value, index) for index, value in enumerate(curve.values) if value is not None]
    kept = {0, count - 1, *((min(finite)[1], max(finite)[1]) if finite else ())}
    room = points - len(kept)
    kept.update(range(0, count, -(-count // room)) if room > 0 else ())
    order = sorted(kept)
    return replace(curve, steps=_pick(curve.steps, order), values=_pick(curve.values, order))


def thin_groups(groups: Mapping[str, Curves]) -> dict[str, Curves]:
    """Thin each curve so that all together have at most VERSION_POINTS points, or LEAST_POINTS each."""
    count = sum(len(curves) for curves in groups.values())
    points = max(LEAST_POINTS, min(CURVE_POINTS, VERSION_POINTS // max(count, 1)))
    return {index: {name: thin_curve(curve, points) for name, curve in curves.items()} for index, curves in groups.items()}


def _pick(values: Sequence[T], indexes: Iterable[int]) -> tuple[T, ...]:
    return tuple(values[index] for index in indexes)
