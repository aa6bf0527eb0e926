"""Register a trained model as a SQL function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_mlsql.arguments import (
    OperatorArguments,
    check_script_arguments,
    parse_optional,
    read_model_path,
    set_arguments,
)
from airflow_provider_mlsql.hooks.tracking import read_tracking
from airflow_provider_mlsql.operators.base import REGISTERED, JobSpec, MLSQLOperator, select_facts
from mlsql_runtime.errors import InputError, Refused
from mlsql_runtime.plan import FUNCTION_PYTHON_HELP, PythonEnv, Register, Secrets
from mlsql_runtime.plan.options import all_arguments, read_options
from mlsql_runtime.plan.parsers import choice
from mlsql_runtime.result import to_xcom

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.result import RunResult

_ON_REFUSED = choice("succeed", "skip", "fail")


class MLSQLRegisterOperator(MLSQLOperator):
    """Make a function from a version and a predict script, try it, and point the function's name at it.

    A model that is not good enough is refused: the function stays what it was, its history says who, when and why, and the
    task succeeds with ``registered`` False and a ``reason``, unless ``on_refused`` says otherwise. The XCom is
    ``{"function", "registered", "reason", "model_path", "version", "alg_index", "score", "function_version"}``; the events of
    assets in ``outlets`` have ``function``, ``registered``, ``reason``, ``model_path``, ``version`` and ``score`` of it.

    :param model_path: Path or URI of the model.
    :param function_name: Name of the function in SQL.
    :param python_script_path: The predict script; or a project, a folder or a zip, with an ``MLproject`` or ``predict.py``.
        By default the project that trained the version. Relative paths start at the DAG file.
    :param builtin: A built-in predict script instead of one of your own, for models with scikit-learn's methods; see
        docs/how-to/builtin.md.
    :param script_params: Parameters of the predict script, its ``mlsql.fit_param``; ``resource.<name>`` names a file or folder to
        bring along.
    :param script_options: Any other option, for the predict script: ``mlsql.params()["fitParams"]`` has it.
    :param envs: Environment variables of the predict script, while it runs to be registered; by default those of the training.
    :param model_version: The version; by default the newest complete one.
    :param alg_index: The fit group; by default the best one.
    :param enable_copy_train_params_to_python: Pass all options of the training to the predict function.
    :param min_score: Refuse a model with a worse score.
    :param only_if_better: Refuse a model whose score is not better than that of the current function by at least this much.
    :param on_refused: ``"succeed"``; ``"skip"``: this task and those after it are skipped; ``"fail"``: with
        :class:`~mlsql_runtime.errors.Refused`, which no retry can help. The XCom exists in each case, an asset's event only when
        the task succeeds.
    :param sample_data: Table on whose first rows the function is tried; by default, rows of the training data that are kept with
        the version.
    :param mlflow_conn_id: A connection with the address of an MLflow tracking server and its credentials.
    :param mlflow_tracking_uri: An MLflow tracking server, such as ``http://host:5000``, without a password. Credentials are taken
        from ``MLFLOW_TRACKING_…`` variables of the driver; operators have ``mlflow_conn_id`` for them.
    :param mlflow_registered_model: A registered model of the MLflow server, which gets a version for this model, and the
        function's name as its alias.
    """

    template_fields: Sequence[str] = (
        *MLSQLOperator.template_fields,
        *("model_path", "function_name", "on_refused", "mlflow_conn_id"),
        *all_arguments(Register),
    )
    template_fields_renderers = {"sample_data": "json", "script_params": "json", "script_options": "json"}

    def __init__(
        self,
        *,
        model_path: str,
        function_name: str,
        python_script_path: str | None = None,
        builtin: str | None = None,
        script_params: Mapping[str, Any] | str | None = None,
        script_options: Mapping[str, Any] | str | None = None,
        envs: Mapping[str, str] | str | None = None,
        model_version: int | str | None = None,
        alg_index: int | str | None = None,
        enable_copy_train_params_to_python: bool | str = False,
        min_score: float | str | None = None,
        only_if_better: float | str | None = None,
        on_refused: str = "succeed",
        sample_data: str | Mapping[str, Any] | None = None,
        mlflow_conn_id: str | None = None,
        mlflow_tracking_uri: str | None = None,
        mlflow_registered_model: str | None = None,
        **kwargs: Any,
    ) -> None:
        for name in all_arguments(PythonEnv):
            if name in kwargs:
                raise InputError(f"MLSQLRegisterOperator has no argument '{name}': {FUNCTION_PYTHON_HELP}", argument=name)
        super().__init__(**kwargs)
        check_script_arguments(python_script_path, builtin, is_required=False)
        self.model_path = model_path
        self.function_name = function_name
        self.on_refused = on_refused
        self.mlflow_conn_id = mlflow_conn_id
        set_arguments(self, all_arguments(Register), locals())

    def finish(self, context: Context, result: RunResult) -> dict[str, Any]:
        done = to_xcom(result.steps[-1])
        if not done["registered"] and (on_refused := self._read_on_refused()) != "succeed":
            self._end_refused(context, done, on_refused)
        self.extend_asset_events(context, select_facts(done, REGISTERED))
        return done

    def _end_refused(self, context: Context, result: dict[str, Any], on_refused: str) -> NoReturn:
        """Skip or fail after pushing the XCom: Airflow does not keep the return value of a task that does not succeed."""
        if self.do_xcom_push:
            context["ti"].xcom_push("return_value", result)
        said = f"{result['function']} is unchanged: {result['reason']}"
        if on_refused == "skip":
            raise AirflowSkipException(said)
        raise Refused(said, **select_facts(result, REGISTERED))

    def build_job(self) -> JobSpec:
        self._read_on_refused()  # before Spark starts
        arguments = OperatorArguments(self, self.storage.access)
        fields = read_options(Register, arguments)
        fields["tracking_uri"], tracking = read_tracking(self.mlflow_conn_id, fields["tracking_uri"])
        register = Register(**fields, model_path=read_model_path(self.model_path), function=self.function_name)
        return JobSpec((*arguments.loads, register), Secrets(tracking=tracking))

    def _read_on_refused(self) -> str:
        return parse_optional(_ON_REFUSED, self.on_refused, "on_refused") or "succeed"
