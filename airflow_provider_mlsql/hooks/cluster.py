"""Spark applications in cluster mode: submitted, followed, ended, and found again when nobody remembers them.

What runs them is a :class:`Cluster`; :func:`open_cluster` gives that of a Spark connection.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from mlsql_runtime.errors import ClusterUnavailable, InputError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission.client_mode import Submission
from mlsql_runtime.submission.cluster_mode import remove_run

END_SECONDS = 20.0  # for an application to be over, once its end was asked for
ATTEMPTS = 10  # questions in a row that the cluster may leave without an answer
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Application:
    """An application that was submitted: what the cluster calls it, and the URI of its run's folder. Plain JSON values."""

    id: str
    run: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """How it is with an application. ``state`` is the cluster's own word, ``told`` what it says about it, ``url`` its page."""

    state: str
    is_over: bool
    is_successful: bool = False
    told: str = ""
    url: str | None = None


class Cluster(Protocol):
    """Where applications run. Calls block; they raise ``ClusterUnavailable`` when it does not answer."""

    name: ClassVar[str]

    def properties(self, task: str, run: str, folder: str, conf: Mapping[str, str]) -> Mapping[str, str]:
        """``conf`` with the Spark properties by which :meth:`find` finds the application, and those the cluster needs.

        :param run: the run's key, of letters, digits, ``-`` and ``.``.
        :param folder: URI of the run's folder.

        :raises InputError: when ``conf`` has one that cannot be.
        """

    def submit(self, submission: Submission) -> str:
        """Hand an application over; answers what the cluster calls it."""

    def status(self, application: str) -> Status:
        """How it is with the application."""

    def kill(self, application: str) -> None:
        """Ask for its end; :meth:`status` says when it has come."""

    def find(self, task: str) -> tuple[tuple[str, str], ...]:
        """The applications of a task that are not over, each with the key of its run."""

    def how_to_read_log(self, application: str) -> str:
        """Where the driver's output is, for people."""


def open_cluster(conn_id: str) -> Cluster:
    """The cluster of a Spark connection with deploy mode cluster.

    :raises InputError: when there is none for the connection's master, or the connection lacks something.
    """
    from airflow_provider_mlsql.hooks.spark_submit import SubmitHook

    master = SubmitHook(conn_id=conn_id).master
    if master.startswith("yarn"):
        from airflow_provider_mlsql.hooks.yarn import YarnCluster

        return YarnCluster(conn_id)
    if master.startswith("k8s://"):
        from airflow_provider_mlsql.hooks.kubernetes import KubernetesCluster

        return KubernetesCluster(conn_id)
    if master.startswith("spark://"):
        raise InputError(
            f"connection {conn_id} asks for deploy mode cluster on {master}, where Spark does not run Python applications so; "
            "set deploy-mode to client: a retry goes on there where the attempt before it was interrupted"
        )
    raise InputError(f"connection {conn_id} asks for deploy mode cluster on {master}; that is for yarn and k8s://")


class Told:
    """Asks about one application, says what has changed, and bears with a cluster that does not answer for a while."""

    def __init__(self, cluster: Cluster, application: Application, log: Any) -> None:
        self._cluster, self._application, self._log = cluster, application, log
        self._last: tuple[str, str | None] | None = None
        self._failures = 0

    def ask(self) -> Status | None:
        """How it is with the application, None when the cluster does not answer.

        :raises ClusterUnavailable: when it has not for ten times in a row.
        """
        try:
            status = self._cluster.status(self._application.id)
        except ClusterUnavailable as error:
            self._failures += 1
            if self._failures >= ATTEMPTS:
                raise
            self._log.warning("Question %s of %s: %s", self._failures, ATTEMPTS, error.message)
            return None
        self._failures = 0
        if (status.state, status.url) != self._last:
            self._last = (status.state, status.url)
            self._log.info("Application %s is %s%s", self._application.id, status.state, f", {status.url}" if status.url else "")
        return status


def end(cluster: Cluster, application: Application, log: Any, *, with_staged: bool = True) -> None:
    """End an application, wait until it is over, and remove its folder.

    :param with_staged: also what its job has staged, which an attempt that comes after it would use.
    :raises ClusterUnavailable: when the cluster does not answer, or the application goes on in spite of it.
    """
    cluster.kill(application.id)
    deadline = time.monotonic() + END_SECONDS
    while not (status := cluster.status(application.id)).is_over and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    if not status.is_over:
        raise ClusterUnavailable(f"application {application.id} was asked to end, and is {status.state} after {END_SECONDS:g} s")
    log.info("Application %s is %s", application.id, status.state)
    remove_run(Location.of(application.run), with_staged=with_staged)
