"""What the page of a model shows: the functions now, the score over versions, the versions, the histories."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property

from airflow_provider_mlsql.pages.charts import Chart, Line, LineKind, Number, make_sparkline
from mlsql_runtime.store.function_history import HistoryEntry
from mlsql_runtime.store.overview import FunctionOverview, ModelOverview
from mlsql_runtime.store.version_facts import VersionFacts

WEEK = timedelta(days=7)
SPARKLINE_VERSIONS = 20
EVENTS = 100  # of a function's history that are shown
ROLLBACKS = 10
CURRENT, BEFORE, REFUSED = "(current)", "(before)", "(refused)"


@dataclass(frozen=True)
class ModelView:
    """An overview as a page shows it. ``shown_path`` has no password."""

    overview: ModelOverview
    shown_path: str

    def hide_tasks(self, may_read: Callable[[str], bool]) -> ModelView:
        """Return the view without jobs and tasks of DAGs that the user must not see. A job's name contains that of its DAG."""
        versions = tuple(
            version if version.task is None or may_read(version.task.dag_id) else replace(version, task=None, job_id=None)
            for version in self.overview.versions
        )
        functions = tuple(
            replace(function, history=tuple(replace(entry, job_id=None) for entry in function.history))
            for function in self.overview.functions
        )
        return ModelView(replace(self.overview, versions=versions, functions=functions), self.shown_path)

    @cached_property
    def marks(self) -> Mapping[int, tuple[str, ...]]:
        """What each version is or was: ``jack (current)``, ``jack (before)``, ``jack (refused)``."""
        found: dict[int, dict[str, None]] = {}
        for function in self.overview.functions:
            for entry in function.history:
                mark = f"{function.name} {REFUSED if entry.happened == 'refused' else BEFORE}"
                found.setdefault(entry.version, {})[mark] = None
            if function.current:
                marks = found.setdefault(function.current.version, {})
                marks.pop(f"{function.name} {BEFORE}", None)
                marks[f"{function.name} {CURRENT}"] = None
        return {version: tuple(marks) for version, marks in found.items()}

    @property
    def rows(self) -> Iterator[tuple[VersionFacts, tuple[str, ...]]]:
        """The versions with what changed since the one before: code, environment."""
        complete = [version for version in self.overview.versions if version.state == "complete"]
        before = dict(zip((version.version for version in complete), complete[1:], strict=False))
        for version in self.overview.versions:
            earlier = before.get(version.version)
            yield version, () if earlier is None else tuple(_list_changes(earlier, version))

    @property
    def sparkline(self) -> str | None:
        scores = [version.score for version in self.overview.versions if version.state == "complete"]
        return make_sparkline(scores[:SPARKLINE_VERSIONS][::-1])

    @property
    def trend(self) -> str | None:
        """How the newest score compares with the one before and with the best."""
        scored = [version for version in self.overview.versions if version.score is not None]
        if len(scored) < 2:
            return None
        newest, before = scored[0], scored[1]
        sign = -1 if newest.greater_is_better is False else 1
        best = max(scored, key=lambda version: sign * (version.score or 0.0))
        change = (newest.score or 0.0) - (before.score or 0.0)
        compared = "the same as" if change == 0 else "better than" if sign * change > 0 else "worse than"
        return f"{compared} version {before.version} ({before.score:.6g}); the best is version {best.version} ({best.score:.6g})"

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics that can be drawn instead of the score."""
        return list(dict.fromkeys(name for version in self.overview.versions for name in version.metrics))

    def make_chart(self, metric: str | None, is_time: bool) -> Chart | None:
        """Return the chart of the score, or of a metric of the best group, over versions; None for fewer than two."""
        versions = [version for version in reversed(self.overview.versions) if version.created or not is_time]
        if is_time:
            versions.sort(key=lambda version: version.created or datetime.min.replace(tzinfo=timezone.utc))
        values = {version.version: version.score if metric is None else version.metrics.get(metric) for version in versions}
        known = {number: value for number, value in values.items() if value is not None}
        if len(versions) < 2 or not known:
            return None
        refused = {version for version, marks in self.marks.items() if any(each.endswith(REFUSED) for each in marks)}
        current = {function.current.version for function in self.overview.functions if function.current}
        lowest = min(known.values())  # where failed trainings, which have no score, are marked
        lines = [
            _Marks(metric or "score", "line", "c0", values),
            _Marks("refused", "rings", "bad", {number: known[number] for number in refused & known.keys()}),
            _Marks("current", "points", "good", {number: known[number] for number in current & known.keys()}),
            _Marks("failed", "rings", "failed", {each.version: lowest for each in versions if each.state == "failed"}),
            _Marks("asked for by the gate", "steps", "soft", self._find_thresholds() if metric is None else {}),
        ]
        x: tuple[Number, ...] = tuple(
            version.created.timestamp() if is_time and version.created else version.version for version in versions
        )
        return Chart(
            title=f"{metric or 'score'} over versions",
            x_label="published" if is_time else "version",
            x=x,
            lines=tuple(each.make_line(versions) for each in lines if each.values),
            is_time=is_time,
        )

    def _find_thresholds(self) -> dict[int, float]:
        """Return the score that the gate asked for when it judged each version; of several functions, the last one's."""
        entries = (entry for function in self.overview.functions for entry in function.history if entry.threshold is not None)
        return {entry.version: float(entry.threshold or 0.0) for entry in sorted(entries, key=lambda entry: entry.at)}

    def count_refusals(self, function: FunctionOverview) -> int:
        """Return how often registrations of a function were refused in the last seven days."""
        since = datetime.now(timezone.utc) - WEEK
        return sum(entry.at >= since for entry in function.refusals)

    def list_events(self, function: FunctionOverview) -> tuple[HistoryEntry, ...]:
        """Return the newest events of a function's history, the newest first."""
        return function.history[-EVENTS:][::-1]

    def list_rollbacks(self, function: FunctionOverview) -> list[tuple[HistoryEntry, str]]:
        """Return a few packages to which a function can be pointed, each with the command: those before the current one, the last
        one first, then those after it.
        """
        current = function.current
        now = current.function_version if current and current.function_version else 0
        found = {
            entry.function_version: entry
            for entry in function.history
            if entry.available and entry.function_version is not None and entry.function_version != now
        }
        ordered = sorted(found, key=lambda number: (number > now, -number))[:ROLLBACKS]
        return [(found[number], self._rollback(function.name, found[number])) for number in ordered]

    def _rollback(self, name: str, entry: HistoryEntry) -> str:
        return shlex.join(("mlsql", "rollback", self.shown_path, name, "--to", str(entry.function_version)))


@dataclass(frozen=True)
class _Marks:
    """A line of the chart: the values of some versions, by number."""

    label: str
    kind: LineKind
    color: str
    values: Mapping[int, float | None]

    def make_line(self, versions: Sequence[VersionFacts]) -> Line:
        values = tuple(self.values.get(version.version) for version in versions)
        return Line(label=self.label, kind=self.kind, color=self.color, values=values)


def _list_changes(before: VersionFacts, after: VersionFacts) -> Iterator[str]:
    if before.code != after.code:
        yield "code"
    if before.environment != after.environment:
        yield "environment"
