"""What the list of models shows: each model path with its overview, or why there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from airflow_provider_mlsql.pages.model_view import SPARKLINE_VERSIONS, ModelView
from airflow_provider_mlsql.pages.storage_paths import check_readable, explain, read_access, without_password
from mlsql_runtime.codec import encode
from mlsql_runtime.store.overview import ModelOverview, VersionCache, read_overview
from mlsql_runtime.store.version_facts import ErrorFacts
from mlsql_runtime.store.versions import open_store

SECONDS = 5.0  # that the page waits for all storage together
_THREADS = 8  # each may send several requests at the same time


@dataclass(frozen=True)
class ModelEntry:
    """A line of the list. Without a view, ``problem`` says why."""

    shown_path: str
    view: ModelView | None
    problem: str | None = None

    def hide_tasks(self, may_read: Callable[[str], bool]) -> ModelEntry:
        """Return the entry without jobs and tasks of DAGs that the user must not see."""
        return self if self.view is None else replace(self, view=self.view.hide_tasks(may_read))

    @property
    def document(self) -> dict[str, object]:
        """The entry for programs."""
        overview = None if self.view is None else {**encode(self.view.overview), "model_path": self.shown_path}
        return {"model_path": self.shown_path, "overview": overview, "problem": self.problem}


class ModelReader:
    """Reads the overviews of models at the same time. Storage that does not respond holds up no other model: its read goes on in
    a thread that no other read waits for, and is not started again before it ends.
    """

    def __init__(self, cache: VersionCache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._slow: dict[str, Future[ModelView]] = {}

    def read_all(self, paths: Sequence[str], seconds: float = SECONDS) -> list[ModelEntry]:
        """Return an entry for each model path, in their order."""
        with self._lock:
            pool = self._pool = self._pool or ThreadPoolExecutor(_THREADS, thread_name_prefix="mlsql-models")
            slow = {path: self._slow[path] for path in paths if path in self._slow}
            started = {path: pool.submit(self.read, path, SPARKLINE_VERSIONS) for path in paths if path not in slow}
        wait(started.values(), seconds)
        entries = [_make_entry(path, (started | slow)[path], seconds) for path in paths]
        with self._lock:
            for path, future in slow.items():
                if future.done() and self._slow.get(path) is future:
                    del self._slow[path]
            running = {path: future for path, future in started.items() if not future.cancel() and not future.done()}
            if running:
                self._slow |= running
                if self._pool is pool:  # its threads may never come back
                    pool.shutdown(wait=False)
                    self._pool = None
        return entries

    def read(self, path: str, versions: int) -> ModelView:
        """Read the overview of a model, with its newest ``versions``.

        :raises MLSQLError: when it cannot be read.
        """
        check_readable(path)
        overview, shown = read_overview(open_store(path, read_access()), versions, self._cache), without_password(path)
        return ModelView(overview if shown == path else _hide_passwords(overview), shown)


def _hide_passwords(overview: ModelOverview) -> ModelOverview:
    """Return an overview whose errors name paths without passwords."""

    def hide(error: ErrorFacts) -> ErrorFacts:
        return {"kind": error["kind"], "message": without_password(error["message"])}

    versions = tuple(
        each if each.error is None else replace(each, reason=without_password(each.reason or ""), error=hide(each.error))
        for each in overview.versions
    )
    functions = tuple(replace(each, error=each.error and without_password(each.error)) for each in overview.functions)
    return replace(overview, versions=versions, functions=functions)


def _make_entry(path: str, future: Future[ModelView], seconds: float) -> ModelEntry:
    shown = without_password(path)
    if not future.done():
        return ModelEntry(shown, None, f"its storage did not respond within {seconds:g} seconds")
    error = future.exception()
    if error is None:
        return ModelEntry(shown, future.result())
    assert isinstance(error, Exception)
    return ModelEntry(shown, None, explain(error, path))
