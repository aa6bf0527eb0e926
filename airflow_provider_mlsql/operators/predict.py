"""Predict a table with registered functions in SQL, or with a batch script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlsql.arguments import (
    OperatorArguments,
    load_selected,
    parse_document,
    parse_functions,
    parse_optional,
    parse_table,
    read_model_path,
    set_arguments,
)
from airflow_provider_mlsql.operators.base import JobSpec, MLSQLOperator
from airflow_provider_mlsql.operators.query_file import QueryFileOperator
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import FUNCTION_PYTHON_HELP, Predict, PythonEnv, Save, Statement
from mlsql_runtime.plan.options import all_arguments, own_options, read_options
from mlsql_runtime.plan.parsers import is_nothing
from mlsql_runtime.result import SaveResult, SelectResult, to_xcom

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.result import RunResult

_OUTPUT_KEYS = ("mode", "partition_by", "file_num")


class MLSQLPredictOperator(QueryFileOperator):
    """Load ``data``, or select from tables of catalogs, predict, and save the result.

    With ``functions`` and ``sql``: registered functions are callable in the query. With ``model_path``: a batch-predict script
    runs over the table, once for each partition. The XCom is ``{"rows",
    "output", "functions": {name: {"model_path", "version", "alg_index", "score", "function", "function_version"}}}``.

    :param output: Where to save: ``"parquet.`/path`"`` or ``{"format", "path", "mode", "partition_by", "file_num", "options"}``;
        with ``table`` instead of ``path``, such as ``{"table": "shop.scores", "mode": "append"}``, a table of a catalog. Mode
        ``overwrite`` by default, so that a repeated run gives the same result.
    :param data: The table ``data``: ``"libsvm.`/path`"`` or ``{"format", "path", "options"}``, or a table of a catalog:
        ``"table.`shop.orders`"`` or ``{"table", "options"}``.
    :param sql: The query over ``data``, which it must read, or without ``data`` over tables of catalogs. Its result is saved, or
        is the input of the batch script.
    :param functions: SQL names to model paths, such as ``{"jack": "/tmp/pa_model"}``, or the XCom of a register task, or a list
        of these XComs.
    :param model_path: The model of a batch script.
    :param python_script_path: The batch script; or a project, a folder or a zip, with an ``MLproject`` or ``batch_predict.py``.
        By default the project that trained the version. Relative paths start at the DAG file.
    :param model_version: The version; by default the newest complete one.
    :param alg_index: The fit group; by default the best one.
    :param script_params: Parameters of the batch script, its ``mlsql.fit_param``; ``resource.<name>`` names a file or folder to
        bring along.
    :param script_options: Any other option, for the batch script: ``mlsql.params()["fitParams"]`` has it.
    :param python_path: Interpreter that runs the script; by default that of the job, for a batch script that of the training.
        ``<name>/bin/python`` is the one in the archive ``<name>``.
    :param python_ver: Version prefix that the interpreter must have, such as ``3.11``.
    :param python_param: Flags of the interpreter, such as ``-X dev`` or ``-u,-O``.
    :param requirements: A requirements file, or a list of packages. Each node builds an environment with them for the script, and
        keeps it for later jobs.
    :param archives: Packed environments that Spark brings to every node and unpacks, such as ``env.tar.gz#env``.
    :param envs: Environment variables of the script.
    :param seed: Seed of hashes, ``random`` and NumPy in the script, which reads it with ``mlsql.seed()``; without it they are
        random.
    :param script_timeout: Seconds after which a run of the script is ended.
    :param same_rows: Whether the batch script must write as many rows as it reads.
    """

    template_fields: Sequence[str] = (
        *MLSQLOperator.template_fields,
        *("data", "output_table", "sql", "functions", "model_path"),
        *all_arguments(Predict),
    )
    template_fields_renderers = {"sql": "sql", "data": "json", "output_table": "json", "functions": "json"}

    def __init__(
        self,
        *,
        output: str | Mapping[str, Any],
        data: str | Mapping[str, Any] | None = None,
        sql: str | None = None,
        functions: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | None = None,
        model_path: str | None = None,
        python_script_path: str | None = None,
        model_version: int | str | None = None,
        alg_index: int | str | None = None,
        script_params: Mapping[str, Any] | str | None = None,
        script_options: Mapping[str, Any] | str | None = None,
        python_path: str | None = None,
        python_ver: str | None = None,
        python_param: Sequence[str] | str = (),
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
        set_arguments(self, all_arguments(Predict), locals())

    def finish(self, context: Context, result: RunResult) -> dict[str, Any]:
        steps = result.steps
        saved = next(step for step in steps if isinstance(step, SaveResult))
        used = [to_xcom(use) for step in steps if isinstance(step, SelectResult) for use in step.functions]
        return {"rows": saved.rows, "output": saved.output, "functions": {use.pop("name"): use for use in used}}

    def build_job(self) -> JobSpec:
        functions = parse_functions(self.functions)
        if functions and is_nothing(self.sql):
            names = ", ".join(f"{ref.name}(…)" for ref in functions)
            raise InputError(f"functions are given, but no sql that calls them; give a query over data that calls {names}")
        loads = load_selected(self.data, self.sql, functions)
        statements: list[Statement] = [*loads]
        table = loads[-1].table
        if not is_nothing(self.python_script_path) or not is_nothing(self.model_path):
            fields = read_options(Predict, OperatorArguments(self, self.storage.access))
            path = read_model_path(self.model_path)
            statements.append(Predict(**fields, table=table, model_path=path, result="predicted"))
            table = "predicted"
        else:
            self._refuse_without_script()
        return JobSpec((*statements, self._save(table)))

    def _refuse_without_script(self) -> None:
        """Raise InputError for arguments of a batch script, and when there is nothing to predict with."""
        of_python = {option.argument for option in own_options(PythonEnv).values()} | {"script_timeout"}
        for name in all_arguments(Predict):
            value = getattr(self, name)
            if name != "same_rows" and not is_nothing(value) and value not in ((), []):
                why = FUNCTION_PYTHON_HELP if name in of_python else "functions take sql"
                raise InputError(f"{name} is for a batch script, and there is no model_path; {why}", argument=name)
        if is_nothing(self.sql):
            raise InputError("there is nothing to predict with; give sql and functions, or model_path")

    def _save(self, table: str) -> Save:
        given = parse_document(self.output_table, "output")
        extra = given if isinstance(given, Mapping) else {}
        using = extra.get("format") if extra.get("table") else None  # of a table that is created in a catalog
        if using is not None:
            given = {name: value for name, value in extra.items() if name != "format"}
        output = parse_table(given, "output", _OUTPUT_KEYS)
        mode: Any = extra.get("mode")
        partition_by = parse_document(extra.get("partition_by"), "output.partition_by")
        columns = () if is_nothing(partition_by) else (partition_by,) if isinstance(partition_by, str) else tuple(partition_by)
        return Save(
            table=table,
            format=output.format,
            path=output.path,
            mode="overwrite" if is_nothing(mode) else mode,
            options=output.options,
            partition_by=columns,
            file_num=parse_optional(own_options(Save)["file_num"].parser, extra.get("file_num"), "output.file_num"),
            using=parse_optional(own_options(Save)["using"].parser, using, "output.format"),
        )
