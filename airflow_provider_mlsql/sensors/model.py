"""Wait until a model version and its validation score have landed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_mlsql.arguments import is_deferrable, parse_optional, read_model_path, refuse_unknown, set_arguments
from airflow_provider_mlsql.hooks.storage import check_uris, read_storage
from airflow_provider_mlsql.links import ModelLink, VersionLink
from airflow_provider_mlsql.triggers.conditions import CONDITIONS, parse_conditions
from airflow_provider_mlsql.xcom_versions import push_failed_version
from mlsql_runtime import errors
from mlsql_runtime.plan.names import require_text
from mlsql_runtime.plan.parsers import BOOLEAN

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_mlsql.triggers.model import MLSQLModelTrigger
    from mlsql_runtime.storage.location import Location
    from mlsql_runtime.store.version_condition import VersionCondition
    from mlsql_runtime.store.version_watch import FinalAnswer, VersionSearch, VersionWatch


class MLSQLModelSensor(BaseSensorOperator):
    """Wait for a complete version: one with a manifest, which is written after its files and has its score.

    The XCom is that of the train operator, in every mode. A recorded failure of the awaited training fails the sensor at once,
    with the training's own message. All conditions must hold; with none, any complete version will do.

    :param model_path: path or URI of the model; it need not exist yet.
    :param storage_conn_id: a connection for the storage of the model path, or connections by the beginning of URIs, as for the
        operators; by default the environment decides.
    :param min_version: wait for a version of at least this number.
    :param published_after: wait for a version published after this time, a datetime or ISO 8601 text; UTC if it names no zone.
    :param job_id: wait for the version of this job.
    :param run_id: wait for a version that a DAG run of this name trained, such as ``"{{ run_id }}"``.
    :param external_dag_id: wait for a version that this DAG trained; with ``run_id``, in that run of it.
    :param min_score: wait for a score at least this good.
    :param metric: compare this metric of the best group with ``min_score``, instead of the score. The best group is the one
        with the best score anyway: it is the one that is registered.
    :param greater_is_better: False for a metric such as a loss; the direction of the version's score by default.
    :param on_low_score: what to do if the score of a version is not good enough: ``"wait"`` for a better one, ``"skip"`` or
        ``"fail"``.
    :param check_files: compare every file with the digest in the manifest before succeeding, on the worker.
    :param deferrable: wait in the triggerer, without a worker: one listing per poll interval for all sensors that wait in one
        model path. ``[operators] default_deferrable`` by default. The worker looks once before it defers. ``execution_timeout``
        includes the time in the triggerer. With ``silent_fail`` the sensor does not defer: it has to look again after errors.
    """

    template_fields = ("model_path", "storage_conn_id", *CONDITIONS, "check_files")
    operator_extra_links = (ModelLink(), VersionLink())
    ui_color = "#e6f1f2"

    def __init__(
        self,
        *,
        model_path: str,
        storage_conn_id: str | Mapping[str, str] | None = None,
        min_version: int | str | None = None,
        published_after: datetime | str | None = None,
        job_id: str | None = None,
        external_dag_id: str | None = None,
        run_id: str | None = None,
        min_score: float | str | None = None,
        metric: str | None = None,
        greater_is_better: bool | str | None = None,
        on_low_score: str = "wait",
        check_files: bool | str = False,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        self.model_path = model_path
        self.storage_conn_id = storage_conn_id
        self.check_files = check_files
        self.deferrable = is_deferrable(deferrable)
        set_arguments(self, CONDITIONS, locals())
        self._looks: tuple[VersionWatch, VersionSearch] | None = None  # poke by poke, only what is new is read

    def execute(self, context: Context) -> Any:
        if not self.deferrable or self.silent_fail:
            return super().execute(context)
        deadline = datetime.now(timezone.utc) + timedelta(seconds=min(self._limits()))
        with self._soften_failures():
            seen = self.poke(context)
            trigger = self._trigger(deadline)
        if not seen.is_done:
            # the trigger keeps both limits; Airflow also keeps this one, in case no triggerer runs
            self.defer(trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=self.timeout))
        return seen.xcom_value

    def poke(self, context: Context) -> PokeReturnValue:
        from mlsql_runtime.store.version_watch import VersionSearch, VersionWatch

        root = self._open()
        if self._looks is None or self._looks[0].root != root:
            self._looks = VersionWatch(root), VersionSearch(self._condition())
        watch, search = self._looks
        watch.refresh()
        answer = search.answer(watch)
        if answer["status"] == "waiting":
            self.log.info("%s", answer["message"])
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._conclude(answer, context))

    def execute_complete(self, context: Context, event: FinalAnswer) -> dict[str, Any]:
        """Continue with the answer of the trigger."""
        with self._soften_failures():
            return self._conclude(event, context)

    def _conclude(self, answer: FinalAnswer, context: Context) -> dict[str, Any]:
        """Return the XCom, or raise the exception, of an answer; the same in every mode."""
        if answer["status"] == "failed":
            error = errors.from_json(answer["error"])
            if self.do_xcom_push:
                push_failed_version(context, error)
            raise error
        if answer["status"] == "skipped":
            raise AirflowSkipException(answer["message"])
        if answer["status"] == "timeout":
            raise self._make_timeout()
        result = answer["result"]
        if parse_optional(BOOLEAN, self.check_files, "check_files"):
            self._check_files(result["version"])
        version, score, best = result["version"], result["score"], result["best"]["alg_index"]
        self.log.info("Version %s of %s is complete: score %s, best is group %s", version, result["model_path"], score, best)
        return result

    def _open(self) -> Location:
        from mlsql_runtime.storage.access_check import check_access
        from mlsql_runtime.store.versions import open_model_path

        path, access = read_model_path(self.model_path), read_storage(self.storage_conn_id).access
        require_text(path, "the model path")
        check_uris(access, {"the model path": path}, self.storage_conn_id)
        check_access([path], access)
        return open_model_path(path, access)

    def _condition(self) -> VersionCondition:
        return parse_conditions(vars(self))

    def _trigger(self, deadline: datetime) -> MLSQLModelTrigger:
        from airflow_provider_mlsql.triggers.model import MLSQLModelTrigger
        from mlsql_runtime.codec import encode

        return MLSQLModelTrigger(
            model_path=str(self.model_path),
            storage_conn_id=self.storage_conn_id,
            poke_interval=self.poke_interval,
            deadline=deadline.isoformat(),
            **encode(self._condition()),
        )

    def _check_files(self, version: int) -> None:
        from mlsql_runtime.store import layout
        from mlsql_runtime.store.verification import verify_files
        from mlsql_runtime.store.versions import read_manifest

        root = self._open()
        verify_files(layout.version_dir(root, version), read_manifest(root, version).files)

    def _limits(self) -> tuple[float, float]:
        """Return the seconds until the sensor, and until the execution, times out."""
        execution = float("inf") if self.execution_timeout is None else self.execution_timeout.total_seconds()
        return self.timeout, execution

    def _make_timeout(self) -> BaseException:
        """Return Airflow's exception for the limit that comes first: a task that times out is retried, a sensor is not."""
        waiting, execution = self._limits()
        if execution < waiting:
            return AirflowTaskTimeout(f"no such version in {self.model_path} after {execution:g} s, the execution_timeout")
        return AirflowSensorTimeout(f"Sensor has timed out; no such version in {self.model_path} after {waiting:g} s")

    @contextlib.contextmanager
    def _soften_failures(self) -> Iterator[None]:
        """Apply ``soft_fail`` and ``never_fail``, as Airflow does for a sensor that pokes."""
        try:
            yield
        except AirflowSkipException:
            raise
        except (AirflowSensorTimeout, AirflowTaskTimeout, AirflowFailException) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(f"Skipped instead of failed: {error}") from error
            raise
        except Exception as error:
            if self.never_fail:
                raise AirflowSkipException(f"Skipped instead of failed: {error}") from error
            raise
