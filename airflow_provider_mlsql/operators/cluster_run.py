"""One plan in cluster mode as a job that a retry finds again: on Airflow's own mixin, by the state it keeps for tasks.

State of a task survives a clear, so its key has the job in it: a cleared task is another job, and runs again. What is kept is
``{"id", "run"}`` of the application and, once that has succeeded, its ``result``: a worker may be lost after it has read that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, ResumableJobMixin

from airflow_provider_mlsql.hooks.cluster import Application
from mlsql_runtime import codec, errors
from mlsql_runtime.errors import FormatError
from mlsql_runtime.result import RunResult

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from airflow_provider_mlsql.hooks.cluster_job import ClusterJob

_ACTIVE, _SUCCEEDED, _FAILED = "active", "succeeded", "failed"


class ClusterRun(ResumableJobMixin):
    """What an operator does with a plan on a cluster.

    :param deferrable: leave the worker once the application is submitted; ``operator.execute_complete`` goes on then.
    """

    def __init__(self, operator: BaseOperator, job: ClusterJob, *, job_id: str, deferrable: bool) -> None:
        self.durable = True  # of the mixin, whose own constructor is for operators
        self.log = operator.log
        self.external_id_key = f"mlsql_{hashlib.sha256(job_id.encode()).hexdigest()[:32]}"
        self._operator, self._job, self._deferrable = operator, job, deferrable
        self._result: RunResult | None = None

    def run(self, context: Context) -> RunResult:
        """Run the plan, or follow what runs it already, or answer what that has answered.

        :raises MLSQLError: what ended the plan.
        """
        result: RunResult = self.execute_resumable(context)
        return result

    def complete(self, context: Context, event: Mapping[str, Any]) -> RunResult:
        """Go on when the trigger has said how it is with the application."""
        application = Application(id=event["id"], run=event["run"])
        if event["status"] == "failed":
            raise errors.from_json(event["error"])
        if event["status"] == "timeout":
            self._job.follow(application)
            self._job.cancel()
            raise AirflowTaskTimeout(f"application {application.id} was ended after the execution_timeout")
        return self._conclude(application, context)

    def submit_job(self, context: Context) -> Any:
        kept = self._kept(context)
        if kept is not None:
            self._job.discard(kept)
        return codec.encode(self._job.submit())

    def get_job_status(self, external_id: Any, context: Context) -> str:
        if "result" in external_id:
            return _SUCCEEDED
        application = _application(external_id)
        if not self._job.status(application).is_over:
            return _ACTIVE
        answered = self._job.answered(application)
        return _SUCCEEDED if answered is not None and answered.is_successful else _FAILED

    def is_job_active(self, status: str) -> bool:
        return status == _ACTIVE

    def is_job_succeeded(self, status: str) -> bool:
        return status == _SUCCEEDED

    def poll_until_complete(self, external_id: Any, context: Context) -> Any:
        application = _application(external_id)
        if self._deferrable:
            self._defer(application)
        self._job.wait(application)
        return self.get_job_result(external_id, context)

    def get_job_result(self, external_id: Any, context: Context) -> RunResult:
        if self._result is None and "result" in external_id:
            self._result = codec.decode(RunResult, external_id["result"], f"state {self.external_id_key} of the task")
        return self._result or self._conclude(_application(external_id), context)

    def _conclude(self, application: Application, context: Context) -> RunResult:
        """The result, kept before its file is removed."""
        result = self._job.result(application)
        store = context.get("task_state_store")
        if store is not None and result.is_successful:
            store.set(self.external_id_key, codec.encode(application) | {"result": codec.encode(result)})
        self._job.remove(application)
        result.raise_for_error()
        self._result = result
        return result

    def _kept(self, context: Context) -> Application | None:
        """The application of an attempt before this one, if state is kept of it."""
        store = context.get("task_state_store")
        kept = None if store is None else store.get(self.external_id_key)
        return None if kept is None else _application(kept)

    def _defer(self, application: Application) -> NoReturn:
        from airflow_provider_mlsql.triggers.application import MLSQLApplicationTrigger

        self._job.tell_once(application)
        limit = self._operator.execution_timeout
        trigger = MLSQLApplicationTrigger(
            spark_conn_id=self._job.conn_id,
            application=application.id,
            run=application.run,
            poll_interval=self._job.poll_interval,
            deadline=None if limit is None else (datetime.now(timezone.utc) + limit).isoformat(),
        )
        self._operator.defer(trigger=trigger, method_name="execute_complete")


def _application(kept: Any) -> Application:
    """The application among what is kept.

    :raises FormatError: when it is something else.
    """
    if not isinstance(kept, dict):
        raise FormatError(f"the state kept of the task is {kept!r}; expected id and run of an application; clear the task")
    return Application(id=str(kept["id"]), run=str(kept["run"]))
