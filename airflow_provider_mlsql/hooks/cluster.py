"""The protocol of clusters that run Spark applications, and functions that follow and end an application."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from mlsql_runtime.errors import ClusterUnavailable, InputError, MLSQLError
from mlsql_runtime.plan import NO_ACCESS, StorageAccess
from mlsql_runtime.submission.output import OutputLine, read_event
from mlsql_runtime.submission.run_folder import RunFolder
from mlsql_runtime.submission.spark_submit import Submission

END_SECONDS = 20.0  # for an application to end, once that was asked for
LAST_LINES = 30
MAX_FAILURES = 10  # requests in a row that the cluster may leave without a response
_POLL_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Application:
    """A submitted application: its ID on the cluster, and the URI of its run's folder. Plain JSON values."""

    id: str
    run: str

    def open_folder(self, access: StorageAccess) -> RunFolder:
        """Return the folder, opened with the job's connections to storage."""
        return RunFolder.at(self.run, access)


@dataclass(frozen=True, kw_only=True)
class Status:
    """Status of an application: ``state`` and ``message`` are the cluster's own words, ``url`` is the application's page."""

    state: str
    is_over: bool
    message: str = ""
    url: str | None = None


class Cluster(Protocol):
    """A cluster. Its calls block, and raise ``ClusterUnavailable`` when it does not respond."""

    name: ClassVar[str]

    def properties(self, task: str, run: RunFolder, conf: Mapping[str, str]) -> Mapping[str, str]:
        """Return ``conf`` with what the cluster needs, and with what :meth:`find` finds the application by.

        :raises InputError: when a property of ``conf`` contradicts that.
        """

    def submit(self, submission: Submission, on_line: Callable[[OutputLine], None]) -> str:
        """Submit an application and return its ID.

        :param on_line: called with each line of spark-submit's output.
        """

    def status(self, application: str) -> Status:
        """Return the status of an application, also of one that the cluster does not know any more."""

    def kill(self, application: str) -> None:
        """Ask for the end of an application; its :meth:`status` says when that has come."""

    def find(self, task: str) -> Mapping[str, str]:
        """Return the keys of the runs of all applications of a task that are not over, by application ID."""

    def log_hint(self, application: str) -> str:
        """Return the command that shows the driver's output."""

    def read_last_lines(self, application: str) -> Sequence[str]:
        """Return the last lines of the driver's output, :data:`LAST_LINES` of each of its files at most."""


class Follower:
    """Asks for the status of one application, and logs its changes and what the application does. A few failures in a row are
    only logged.

    :param access: connections to the storage of the application's folder.
    :param position: how many files of the application's events were logged before.
    """

    def __init__(
        self, cluster: Cluster, application: Application, log: Any, access: StorageAccess = NO_ACCESS, position: int = 0
    ) -> None:
        self._cluster, self._application, self._log = cluster, application, log
        self._last: tuple[str, str | None] | None = None
        self._failures = 0
        self._events = application.open_folder(access).read_events(position)
        self._is_unreadable = False

    @property
    def position(self) -> int:
        """How many files of the application's events are logged."""
        return self._events.position

    def poll(self) -> Status | None:
        """Ask once; return None when the cluster does not respond.

        :raises ClusterUnavailable: at the tenth failure in a row.
        """
        status = self._ask()
        self.log_events()
        return status

    def log_events(self) -> None:
        """Log the events that have come since the last time. A storage that does not respond delays them."""
        try:
            for line in self._events.read_lines():
                for each in read_event(line):
                    self._log.info("%s", each.text)
            self._is_unreadable = False
        except MLSQLError as error:
            if not self._is_unreadable:
                self._log.warning("The application's output is not shown for now: %s", error.message)
            self._is_unreadable = True

    def _ask(self) -> Status | None:
        try:
            status = self._cluster.status(self._application.id)
        except ClusterUnavailable as error:
            self._failures += 1
            if self._failures >= MAX_FAILURES:
                raise
            self._log.warning("Request %s of %s failed: %s", self._failures, MAX_FAILURES, error.message)
            return None
        self._failures = 0
        if (status.state, status.url) != self._last:
            self._last = (status.state, status.url)
            self._log.info("Application %s is %s%s", self._application.id, status.state, f", {status.url}" if status.url else "")
        return status


def require_property(conf: Mapping[str, str], name: str, only: str, why: str) -> None:
    """Raise InputError when a Spark property has another value than ``only``; ``why`` ends the message."""
    if conf.get(name, only).strip().lower() != only.lower():
        raise InputError(f"{name} is {conf[name]!r}; expected {only}: {why}", property=name)


def end_application(
    cluster: Cluster, application: Application, log: Any, access: StorageAccess = NO_ACCESS, *, with_staged: bool = True
) -> None:
    """End an application, wait until it is over, and remove its folder.

    :param access: connections to the storage of that folder.
    :param with_staged: remove also what its job has staged for a later attempt.
    :raises ClusterUnavailable: when the cluster does not respond, or the application does not end in time.
    """
    cluster.kill(application.id)
    deadline = time.monotonic() + END_SECONDS
    while not (status := cluster.status(application.id)).is_over and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    if not status.is_over:
        raise ClusterUnavailable(f"application {application.id} was asked to end, and is {status.state} after {END_SECONDS:g} s")
    log.info("Application %s is %s", application.id, status.state)
    application.open_folder(access).remove(with_staged=with_staged)
