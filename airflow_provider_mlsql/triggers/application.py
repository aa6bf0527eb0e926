"""A trigger that waits until an application in cluster mode is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_mlsql.hooks.cluster import Application, Cluster, Follower, end_application
from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from airflow_provider_mlsql.hooks.storage import ConnectionIds, read_storage
from mlsql_runtime.errors import MLSQLError, to_json


class MLSQLApplicationTrigger(BaseTrigger):
    """Wait until an application is over, or until the deadline; log what it does.

    Requests are made in threads, so that a cluster that does not respond does not block other triggers. The application is ended
    when its task is killed or cleared; a restart of the triggerer changes nothing.

    :param spark_conn_id: the Spark connection, by which the cluster is reached.
    :param application: ID of the application on the cluster.
    :param run: URI of its run's folder.
    :param storage_conn_id: connections to the storage of that folder, as for the operators.
    :param position: how many files of the application's events are logged already.
    :param poll_interval: seconds between two requests.
    :param deadline: when to give up, as ISO 8601 text.
    """

    def __init__(
        self,
        *,
        spark_conn_id: str,
        application: str,
        run: str,
        poll_interval: float,
        storage_conn_id: ConnectionIds = None,
        position: int = 0,
        deadline: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.spark_conn_id = spark_conn_id
        self.application = application
        self.run_folder = run
        self.poll_interval = poll_interval
        self.storage_conn_id = storage_conn_id
        self.position = position
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", {
            "spark_conn_id": self.spark_conn_id,
            "application": self.application,
            "run": self.run_folder,
            "position": self.position,
            "poll_interval": self.poll_interval,
            "storage_conn_id": self.storage_conn_id,
            "deadline": self.deadline,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            event = await self._wait()
        except MLSQLError as error:
            event = {"status": "failed", "error": to_json(error)}
        event |= {"id": self.application, "run": self.run_folder, "position": self.position}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        await asyncio.to_thread(self._end)

    async def _wait(self) -> dict[str, Any]:
        follower = await asyncio.to_thread(self._follow)
        while True:
            status = await asyncio.to_thread(follower.poll)
            self.position = follower.position
            if status is not None and status.is_over:
                return {"status": "over"}
            left = self._seconds_left()
            if left <= 0:
                return {"status": "timeout"}
            await asyncio.sleep(min(self.poll_interval, left))

    def _seconds_left(self) -> float:
        if self.deadline is None:
            return float("inf")
        return (datetime.fromisoformat(self.deadline) - datetime.now(timezone.utc)).total_seconds()

    @property
    def _application(self) -> Application:
        return Application(id=self.application, run=self.run_folder)

    def _follow(self) -> Follower:
        access = read_storage(self.storage_conn_id).access
        return Follower(self._open_cluster(), self._application, self.log, access, self.position)

    def _open_cluster(self) -> Cluster:
        return MLSQLHook(self.spark_conn_id).open_cluster()

    def _end(self) -> None:
        end_application(self._open_cluster(), self._application, self.log, read_storage(self.storage_conn_id).access)
