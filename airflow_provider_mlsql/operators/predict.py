"""Predict a table with registered functions in SQL, or with a batch script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlsql.arguments import (
    as_archives,
    as_bool,
    as_float,
    as_functions,
    as_int,
    as_options,
    as_requirements,
    as_table,
    as_value,
    script_path,
)
from airflow_provider_mlsql.operators.base import MLSQLOperator
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import FUNCTION_PYTHON_HELP, Load, Predict, PythonEnv, Save, Select, Statement
from mlsql_runtime.result import SaveResult, SelectResult, to_xcom

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.plan import TableRef
    from mlsql_runtime.result import RunResult

_OF_FUNCTIONS_TOO = ("model_path", "model_version", "alg_index", "script_params")
_OF_BATCH_SCRIPTS = ("python_path", "requirements", "archives", "envs", "seed", "script_timeout")
_OUTPUT_KEYS = ("mode", "partition_by", "file_num")


class MLSQLPredictOperator(MLSQLOperator):
    """Load ``data``, predict, and save the result.

    With ``functions`` and ``sql``: registered functions are callable in the query. With ``model_path`` and
    ``python_script_path``: a batch-predict script runs over the table, once for each partition. The XCom is ``{"rows",
    "output", "functions": {name: {"model_path", "version", "alg_index", "score", "function", "function_version"}}}``.

    :param data: the table ``data``: ``"libsvm.`/path`"`` or ``{"format", "path", "options"}``.
    :param output: where to save: ``"parquet.`/path`"`` or ``{"format", "path", "mode", "partition_by", "file_num", "options"}``;
        mode ``overwrite`` by default, so that a repeated run gives the same result.
    :param sql: the query over ``data``; what it selects is saved (or goes to the batch script).
    :param functions: SQL names to model paths, such as ``{"jack": "/tmp/pa_model"}``, or the XCom of a register task, or a
        list of these XComs.
    :param model_path: the model of a batch script.
    :param python_script_path: the batch script; or a project, a folder or a zip, with an ``MLproject`` or ``batch_predict.py``.
        Relative paths start at the DAG file.
    :param model_version: the version for the batch script; the newest complete one by default.
    :param alg_index: the fit group for the batch script; the best one by default.
    :param script_params: parameters of the batch script, its ``mlsql.fit_param``.
    :param python_path: interpreter of the batch script; the job's own by default; for one of
        ``archives`` it is ``"<name>/bin/python"``.
    :param requirements: a requirements file, or a list of packages: nodes build an environment of them for the batch script.
    :param archives: packed environments that Spark brings to the nodes, such as ``"env.tar.gz#env"``.
    :param envs: environment variables of the batch script.
    :param seed: of hashes, :mod:`random` and NumPy in the batch script.
    :param script_timeout: seconds after which a partition's script is ended.
    :param same_rows: False allows the batch script to write another number of rows than it got.
    """

    template_fields: Sequence[str] = (
        *MLSQLOperator.template_fields,
        "data",
        "output_table",
        "sql",
        "functions",
        "model_path",
        "python_script_path",
        "model_version",
        "alg_index",
        "script_params",
        "python_path",
        "requirements",
        "archives",
        "envs",
        "seed",
        "script_timeout",
        "same_rows",
    )
    template_ext = (".sql",)
    template_fields_renderers = {"sql": "sql", "data": "json", "output_table": "json", "functions": "json"}

    def __init__(
        self,
        *,
        data: str | Mapping[str, Any],
        output: str | Mapping[str, Any],
        sql: str | None = None,
        functions: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | None = None,
        model_path: str | None = None,
        python_script_path: str | None = None,
        model_version: int | str | None = None,
        alg_index: int | str | None = None,
        script_params: Mapping[str, Any] | str | None = None,
        python_path: str | None = None,
        requirements: str | Sequence[str] | None = None,
        archives: str | Sequence[str] | None = None,
        envs: Mapping[str, str] | str | None = None,
        seed: int | str | None = None,
        script_timeout: float | str | None = None,
        same_rows: bool | str = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data = data
        self.output_table = output  # BaseOperator.output is the task's XCom
        self.sql = sql
        self.functions = functions
        self.model_path = model_path
        self.python_script_path = python_script_path
        self.model_version = model_version
        self.alg_index = alg_index
        self.script_params = script_params
        self.python_path = python_path
        self.requirements = requirements
        self.archives = archives
        self.envs = envs
        self.seed = seed
        self.script_timeout = script_timeout
        self.same_rows = same_rows

    def finish(self, context: Context, result: RunResult) -> dict[str, Any]:
        steps = result.steps
        saved = next(step for step in steps if isinstance(step, SaveResult))
        used = [to_xcom(use) for step in steps if isinstance(step, SelectResult) for use in step.functions]
        return {"rows": saved.rows, "output": saved.output, "functions": {use.pop("name"): use for use in used}}

    def statements(self) -> tuple[Statement, ...]:
        data = as_table(self.data, "data")
        made: list[Statement] = [Load(table="data", format=data.format, path=data.path, options=data.options)]
        functions = as_functions(self.functions)
        if functions and not self.sql:
            names = ", ".join(f"{ref.name}(…)" for ref in functions)
            raise InputError(f"functions are given, but no sql that calls them; give a query over data that calls {names}")
        table = "data"
        if self.sql:
            table = "selected"
            made.append(Select(table=table, sql=self.sql, functions=functions))
        if self.python_script_path:
            made.append(self._batch(table, self.python_script_path))
            table = "predicted"
        else:
            self._refuse_without_script()
        return (*made, self._save(table))

    def _refuse_without_script(self) -> None:
        for name in (*_OF_FUNCTIONS_TOO, *_OF_BATCH_SCRIPTS):
            if getattr(self, name) not in (None, ""):
                why = FUNCTION_PYTHON_HELP if name in _OF_BATCH_SCRIPTS else "functions go with sql"
                raise InputError(f"{name} is for a batch script, and there is no python_script_path; {why}", argument=name)
        if not self.sql:
            raise InputError("there is nothing to predict with; give sql and functions, or model_path and python_script_path")

    def _batch(self, table: str, path: str) -> Predict:
        return Predict(
            table=table,
            model_path=str(self.model_path or ""),
            script_path=script_path(self, path),
            result="predicted",
            model_version=as_int(self.model_version, "model_version"),
            alg_index=as_int(self.alg_index, "alg_index"),
            params=as_options(self.script_params, "script_params"),
            python=PythonEnv(
                path=self.python_path or None,
                envs=as_options(self.envs, "envs"),
                seed=as_int(self.seed, "seed"),
                timeout=as_float(self.script_timeout, "script_timeout"),
                requirements=as_requirements(self, self.requirements),
                archives=as_archives(self, self.archives),
            ),
            same_rows=as_bool(self.same_rows, "same_rows"),
        )

    def _save(self, table: str) -> Save:
        given = as_value(self.output_table, "output")
        output: TableRef = as_table(given, "output", _OUTPUT_KEYS)
        extra = given if isinstance(given, Mapping) else {}
        partition_by = extra.get("partition_by") or ()
        return Save(
            table=table,
            format=output.format,
            path=output.path,
            mode=extra.get("mode", "overwrite"),
            options=output.options,
            partition_by=(partition_by,) if isinstance(partition_by, str) else tuple(partition_by),
            file_num=as_int(extra.get("file_num"), "output.file_num"),
        )
