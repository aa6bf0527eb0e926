"""The base of the operators: arguments for Spark, and how a task runs its plan and ends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator

from airflow_provider_mlsql.arguments import parse_optional, refuse_unknown
from airflow_provider_mlsql.compat import mask_secret
from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from airflow_provider_mlsql.hooks.storage import StorageSettings, check_uris, read_storage
from airflow_provider_mlsql.hooks.tracking import make_link
from airflow_provider_mlsql.lineage.settings import is_lineage_wanted, read_injected_properties
from airflow_provider_mlsql.links import ModelLink, SparkUILink, VersionLink
from airflow_provider_mlsql.operators.masks import mask_by_name
from airflow_provider_mlsql.operators.task_run import TaskRun
from airflow_provider_mlsql.xcom_versions import push_failed_version
from mlsql_runtime.errors import InputError, MLSQLError
from mlsql_runtime.plan import NO_SECRETS, Plan, Secrets, Statement, collect_uris, with_author
from mlsql_runtime.plan.parsers import TEXT, to_texts
from mlsql_runtime.storage.access_check import check_access

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from mlsql_runtime.data_sets import JobLineage
    from mlsql_runtime.result import RunResult

TRAINED = ("model_path", "version", "score")  # of a training's XCom, in events of assets
REGISTERED = ("function", "registered", "reason", "model_path", "version", "score")  # of a registration's


@dataclass(frozen=True)
class JobSpec:
    """What a task runs.

    :param secrets: what the statements need and a plan must not hold.
    :param conf: Spark properties, which replace those of the operator.
    :param warnings: texts for the task log.
    """

    statements: tuple[Statement, ...]
    secrets: Secrets = NO_SECRETS
    conf: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class MLSQLOperator(BaseOperator):
    """Runs the statements of a subclass as one Spark application.

    :param spark_conn_id: the Spark connection; without ``spark_default`` Spark runs as ``local[*]`` in the worker.
    :param conf: Spark properties.
    :param job_path: for a connection with deploy mode cluster: a folder that the worker and the cluster reach, through which plan
        and result travel; None: ``job_path`` in the connection's extra, or else below the plan's first model path.
    :param storage_conn_id: a connection for the storage of model paths, data and scripts, such as one of type ``aws`` for
        ``s3://``; or connections by the beginning of URIs: ``{"s3://models": "aws_models", "s3://data": "aws_data"}``. It goes
        to the driver, the executors and Spark's own readers as a secret. Without it the environment of each process decides.
    :param poll_interval: in deploy mode cluster, seconds between two requests for the application's status.
    :param deferrable: in deploy mode cluster, wait in the triggerer, without a worker. By default ``[operators]
        default_deferrable``, which has no effect in client mode, where the driver is a process of the worker.
    :param openlineage_inject_parent_job_info: name the task to Spark's own OpenLineage listener as the parent of the
        application's runs; by default ``[openlineage] spark_inject_parent_job_info``.
    :param openlineage_inject_transport_info: pass Airflow's OpenLineage transport on to that listener; by default ``[openlineage]
        spark_inject_transport_info``.
    """

    template_fields: Sequence[str] = ("spark_conn_id", "conf", "job_path", "storage_conn_id")
    operator_extra_links = (ModelLink(), VersionLink(), SparkUILink())
    ui_color = "#e8f7e4"

    def __init__(
        self,
        *,
        spark_conn_id: str = MLSQLHook.default_conn_name,
        conf: Mapping[str, Any] | None = None,
        job_path: str | None = None,
        storage_conn_id: str | Mapping[str, str] | None = None,
        poll_interval: float = 10.0,
        deferrable: bool | None = None,
        openlineage_inject_parent_job_info: bool | None = None,
        openlineage_inject_transport_info: bool | None = None,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        self.spark_conn_id = spark_conn_id
        self.conf = conf
        if isinstance(conf, Mapping):  # before Airflow records what the templates give
            mask_by_name({str(name): str(value) for name, value in conf.items()})
        self.job_path = job_path
        self.storage_conn_id = storage_conn_id
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self.openlineage_inject_parent_job_info = openlineage_inject_parent_job_info
        self.openlineage_inject_transport_info = openlineage_inject_transport_info
        self._lineage: JobLineage | None = None
        self._failure: MLSQLError | None = None
        self._hook: MLSQLHook | None = None
        self._is_killed = False
        self._storage: StorageSettings | None = None

    @property
    def storage(self) -> StorageSettings:
        """What the connections of ``storage_conn_id`` give, read once.

        :raises InputError: when there is no such connection, or it cannot be used.
        """
        if self._storage is None:
            self._storage = read_storage(self.storage_conn_id)
        return self._storage

    def build_job(self) -> JobSpec:
        """Return what the task runs, from the rendered arguments."""
        raise NotImplementedError

    def finish(self, context: Context, result: RunResult) -> dict[str, Any]:
        """Return the task's XCom, and do what else follows a plan that has run."""
        raise NotImplementedError

    def locate(self, error: MLSQLError) -> MLSQLError:
        """Return the error that ended the plan, with its place in a script if there is one."""
        return error

    def execute(self, context: Context) -> dict[str, Any]:
        return self._run(context)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the application that the task has waited for is over."""
        return self._run(context, event)

    def _run(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run the plan, or go on with it after the event of a trigger; return the task's XCom."""
        try:
            result = self._run_job(self.build_job(), context, event)
        except MLSQLError as error:
            if self.do_xcom_push:
                push_failed_version(context, error)
            self._lineage, self._failure = error.lineage, self.locate(error)
            raise self._failure from error.__cause__
        self._lineage = result.lineage
        return self.finish(context, result)

    def _run_job(self, job: JobSpec, context: Context, event: Mapping[str, Any] | None) -> RunResult:
        for warning in job.warnings if event is None else ():
            self.log.warning("%s", warning)
        conf = {**to_texts(self.conf, "conf"), **job.conf}
        for values in (conf, *(statement.outline.secret_values for statement in job.statements)):
            mask_by_name(values)
        for private in job.secrets.kafka.values():
            mask_secret(list(private.values()))
        if event is None:
            wishes = self.openlineage_inject_parent_job_info, self.openlineage_inject_transport_info
            conf |= read_injected_properties(conf, context, *wishes)
        job_path = parse_optional(TEXT, self.job_path, "job_path")
        storage, uris = self.storage, collect_uris(job.statements)
        uris = uris if job_path is None else {"job_path": job_path, **uris}
        check_uris(storage.access, uris, self.storage_conn_id)
        if event is None:
            check_access(uris.values(), storage.access)
        spark = {name: value for name, value in storage.spark.items() if name not in conf}
        secrets = replace(job.secrets, spark=spark, storage=storage.access)
        task = TaskRun.of(context)
        if any(statement.outline.tracking_uri for statement in job.statements):
            secrets = replace(secrets, tracking=replace(secrets.tracking, link=make_link(task.task)))
        if event is None:
            ModelLink().show(context, self)
        statements = with_author(job.statements, task.started_by)
        plan = Plan(
            job_id=task.job_id,
            statements=statements,
            attempt=task.attempt,
            task=task.task,
            collect_lineage=is_lineage_wanted(),
        )
        show = partial(SparkUILink().show, context, self)
        self._hook = hook = MLSQLHook(self.spark_conn_id, conf, show, job_path, self.poll_interval)
        if self._is_killed:  # while the job was prepared
            hook.on_kill()
        if hook.is_cluster_mode or event is not None:
            from airflow_provider_mlsql.operators.cluster_run import ClusterRun

            run = ClusterRun(self, context, hook.open_cluster_job(plan, secrets, task=task.name), plan)
            return run.run() if event is None else run.complete(event)
        if self.deferrable:
            raise InputError(
                f"deferrable is True, and connection {self.spark_conn_id} runs the driver in the worker, which cannot leave it; "
                "leave deferrable out, or give the connection deploy-mode cluster on YARN or Kubernetes"
            )
        return hook.run(plan, secrets)

    def extend_asset_events(self, context: Context, facts: Mapping[str, Any]) -> None:
        """Add facts to the events of the assets among the task's outlets, for the DAGs that these events start."""
        for outlet in self.outlets:
            if isinstance(outlet, Asset):  # an alias names no asset yet
                context["outlet_events"][outlet].extra.update(facts)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what the job has read and written, for Airflow's OpenLineage provider."""
        from airflow_provider_mlsql.lineage.operator_lineage import build_lineage

        return build_lineage(self._lineage)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what the job has read and written until it failed, and the error."""
        from airflow_provider_mlsql.lineage.operator_lineage import build_lineage

        return build_lineage(self._lineage, self._failure)

    def on_kill(self) -> None:
        self._is_killed = True
        if self._hook is not None:
            self._hook.on_kill()


def select_facts(xcom: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the values of an XCom that events of assets hold."""
    return {name: xcom[name] for name in names}
