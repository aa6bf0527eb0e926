"""One task's plan in cluster mode, as a job that a retry finds again by the state that Airflow keeps for the task.

That state survives a clear of the task, so its key contains the job: a cleared task is another job, and runs again. The state
holds the application and, once that has succeeded, its result, because a worker may be lost after it has read the result.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_mlsql.arguments import is_deferrable
from airflow_provider_mlsql.hooks.cluster import Application, Status
from airflow_provider_mlsql.triggers.application import MLSQLApplicationTrigger
from mlsql_runtime import codec, errors
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.result import RunResult
from mlsql_runtime.submission.run_folder import RunOwner

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mlsql.hooks.cluster_job import ClusterJob
    from airflow_provider_mlsql.operators.base import MLSQLOperator
    from mlsql_runtime.plan import Plan


@dataclass(frozen=True, kw_only=True)
class _State:
    """The state of a task, as JSON. ``digest`` is that of what the application does."""

    application: Application
    digest: str
    result: RunResult | None = None


class ClusterRun:
    """An operator's run of a plan on a cluster.

    A deferrable operator leaves the worker once the application is submitted; its ``execute_complete`` continues.
    """

    def __init__(self, operator: MLSQLOperator, context: Context, job: ClusterJob, plan: Plan) -> None:
        self._operator, self._job, self._is_deferrable = operator, job, is_deferrable(operator.deferrable)
        self._plan, self._key = plan, f"mlsql_{hashlib.sha256(plan.job_id.encode()).hexdigest()[:32]}"
        self._store = context.get("task_state_store")  # of Airflow 3.3 or newer

    def run(self) -> RunResult:
        """Run the plan, or follow the application that runs it already, or return the result that is kept. If an earlier try had
        other arguments or another script, what it has left is ended, not followed.

        :raises MLSQLError: what ended the plan.
        """
        digest, kept = RunOwner.of(self._plan).plan_digest, self._load()
        if kept is not None and kept.digest != digest:
            kept = None
        if kept is not None and kept.result is not None:
            with contextlib.suppress(MLSQLError):  # the worker was lost before it has removed the folder
                kept.application.open_folder(self._job.access).remove(with_staged=False)
            return kept.result
        application = None if kept is None else self._reconnect(kept.application)
        if application is None:
            application = self._job.submit()
            self._save(_State(application=application, digest=digest))
        if self._is_deferrable:
            status = self._job.poll(application)
            if status is None or not status.is_over:
                self._defer(application)
        return self._conclude(application, self._job.wait(application))

    def complete(self, event: Mapping[str, Any]) -> RunResult:
        """Go on with the trigger's event.

        :raises MLSQLError: what ended the plan.
        """
        application = Application(id=event["id"], run=event["run"])
        self._job.follow(application, event.get("position", 0))
        if event["status"] == "failed":
            raise errors.from_json(event["error"])
        if event["status"] == "timeout":
            self._job.cancel(application)
            raise AirflowTaskTimeout(f"application {application.id} was ended after the execution_timeout")
        return self._conclude(application)

    def _reconnect(self, application: Application) -> Application | None:
        """Return the application of an earlier attempt, unless it is over without having succeeded."""
        if not self._job.status(application).is_over:
            return application
        result = application.open_folder(self._job.access).read_result()
        if result is not None and result.is_successful:
            return application
        application.open_folder(self._job.access).remove(with_staged=False)
        return None

    def _conclude(self, application: Application, status: Status | None = None) -> RunResult:
        """Return the result of an application that is over, and keep it."""

        def keep(result: RunResult) -> None:
            state = self._load()
            if result.is_successful and state is not None and state.application == application:
                self._save(replace(state, result=result))

        return self._job.conclude(application, status, keep)

    def _load(self) -> _State | None:
        kept = None if self._store is None else self._store.get(self._key)
        return None if kept is None else codec.decode(_State, kept, f"state {self._key} of the task")

    def _save(self, state: _State) -> None:
        if self._store is not None:
            self._store.set(self._key, codec.encode(state))

    def _defer(self, application: Application) -> NoReturn:
        limit = self._operator.execution_timeout
        trigger = MLSQLApplicationTrigger(
            spark_conn_id=self._operator.spark_conn_id,
            storage_conn_id=self._operator.storage_conn_id,
            application=application.id,
            run=application.run,
            position=self._job.follow(application).position,
            poll_interval=self._operator.poll_interval,
            deadline=None if limit is None else (datetime.now(timezone.utc) + limit).isoformat(),
        )
        self._operator.defer(trigger=trigger, method_name="execute_complete")
