"""What the page of a version shows: the verdict, the fit groups, curves, logs, where it came from, and what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from airflow_provider_mlsql.pages.charts import Bar, Chart, make_bars, make_curve_charts, make_parameter_charts
from airflow_provider_mlsql.pages.storage_paths import check_readable, read_access, without_password
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.store import layout
from mlsql_runtime.store.compare_versions import Comparison, compare_versions
from mlsql_runtime.store.function_history import HistoryEntry
from mlsql_runtime.store.overview import FunctionOverview, read_functions
from mlsql_runtime.store.summary import FitDetails, VersionDetails, read_details
from mlsql_runtime.store.versions import ModelStore, open_store

CHARTS = 24  # of each kind


@dataclass(frozen=True)
class VersionView:
    """A version as a page shows it. ``older`` and ``newer`` are its neighbours, of any state."""

    model_path: str  # without a password
    details: VersionDetails
    functions: Sequence[FunctionOverview]
    older: int | None
    newer: int | None
    comparison: Comparison | None = None
    comparison_problem: str | None = None

    @property
    def version(self) -> int:
        return self.details.version

    def hide_task(self, may_read: Callable[[str], bool]) -> VersionView:
        """Return the view without job and task, if that is one of a DAG that the user must not see."""
        task = self.details.task
        if task is None or may_read(task.dag_id):
            return self
        return replace(self, details=replace(self.details, task=None, job_id=None))

    @property
    def logs(self) -> set[int]:
        """The fit groups whose logs are kept."""
        files = {file.path for file in self.details.files}
        return {fit.alg_index for fit in self.details.fits if layout.log_file(fit.alg_index) in files}

    @property
    def verdict(self) -> Iterator[tuple[str, str]]:
        """What became of the version: each time ``good``, ``bad`` or ``soft``, and a sentence."""
        if self.details.state == "failed":
            yield "bad", "The training failed. " + "; ".join(_describe_failures(self.details))
        elif self.details.state == "unfinished":
            yield "soft", "The training has not published this version: it is running, or was killed."
        if self.details.imported is not None:
            yield "soft", f"Imported, not trained here: {self.details.imported.description}."
        for function in self.functions:
            yield from self._judge(function)
        if self.details.state == "complete" and not any(
            entry.version == self.version for function in self.functions for entry in function.history
        ):
            yield "soft", "No function was registered from this version."

    def _judge(self, function: FunctionOverview) -> Iterator[tuple[str, str]]:
        current, name = function.current, function.name
        about = [entry for entry in function.history if entry.version == self.version]
        if function.error is not None:
            yield "bad", f"Function {name} cannot be read: {function.error}"
        elif current is not None and current.version == self.version:
            yield "good", f"{name} is this version since {_describe_event(current)}"
        elif about and about[-1].happened == "refused":
            stays = "was not registered" if current is None else f"stays at version {_describe_model(current)}"
            yield "bad", f"{name} {stays}: refused {_describe_event(about[-1])}"
        elif about and current is not None:
            yield "soft", f"{name} was this version, and is version {_describe_model(current)} since {_describe_event(current)}"
        elif self.details.state == "failed" and current is not None:
            yield "soft", f"{name} stays at version {_describe_model(current)}."

    @cached_property
    def groups(self) -> list[tuple[FitDetails, Bar | None]]:
        """The fit groups, each with a bar of its score."""
        bars = make_bars([fit.score for fit in self.details.fits])
        return list(zip(self.details.fits, bars, strict=True))

    @cached_property
    def parameter_charts(self) -> list[Chart]:
        fits = self.details.fits
        return make_parameter_charts([fit.params for fit in fits], [fit.score for fit in fits])[:CHARTS]

    @cached_property
    def curve_charts(self) -> list[Chart]:
        return make_curve_charts(self.details.curves)[:CHARTS]


def read_version_view(model_path: str, version: int | None, against: int | None = None) -> VersionView:
    """Read a version, by default the newest complete one, and what differs from version ``against``.

    :raises MLSQLError: when there is no such version, or it cannot be read.
    """
    check_readable(model_path)
    store = open_store(model_path, read_access())
    details = read_details(store, version)
    older = next((number for number in store.versions if number < details.version), None)
    newer = next((number for number in reversed(store.versions) if number > details.version), None)
    comparison, problem = _compare(store, against, details.version)
    functions = [replace(each, error=each.error and without_password(each.error)) for each in read_functions(store)]
    return VersionView(without_password(details.model_path), details, functions, older, newer, comparison, problem)


def _compare(store: ModelStore, before: int | None, after: int) -> tuple[Comparison | None, str | None]:
    """Return what differs from version ``before``, or why that cannot be said."""
    if before is None or before == after:
        return None, None
    try:
        return compare_versions(store.root, before, after), None
    except MLSQLError as error:
        return None, without_password(error.message)


def _describe_failures(details: VersionDetails) -> list[str]:
    found = [f"group {fit.alg_index}: {fit.message or fit.status}" for fit in details.fits if fit.status != "success"]
    return found or [details.message or "No reason is recorded."]


def _describe_model(entry: HistoryEntry) -> str:
    score = "without a score" if entry.score is None else f"{entry.score:.6g}"
    return f"{entry.version} ({score})"


def _describe_event(entry: HistoryEntry) -> str:
    by = f" by {entry.by}" if entry.by else ""
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{entry.at:%Y-%m-%d %H:%M} UTC{by}{reason}."
