"""Run a script in MLSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_mlsql.arguments import parse_document, parse_functions, parse_optional
from airflow_provider_mlsql.hooks.kafka import KafkaHook
from airflow_provider_mlsql.hooks.tracking import read_tracking
from airflow_provider_mlsql.operators.base import REGISTERED, TRAINED, JobSpec, MLSQLOperator, select_facts
from mlsql_runtime.errors import InputError, MLSQLError
from mlsql_runtime.plan import MAX_SHOWN
from mlsql_runtime.plan.parsers import is_nothing, whole
from mlsql_runtime.result import script_to_xcom

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.language import CompiledScript
    from mlsql_runtime.result import RunResult

_EXTENSION = ".mlsql"
_ROWS = whole(0, MAX_SHOWN)


class MLSQLScriptOperator(MLSQLOperator):
    """Run a script in MLSQL as one Spark application.

    Errors that show without data are reported before Spark starts, with file, line and column. The XCom is
    ``{"train": […], "register": […], "save": […], "table": {"table", "columns", "rows", "more"}}``: the results of the
    script's statements as those of the other operators, and the first rows of the last table that the script makes. The events
    of assets in ``outlets`` have ``train`` and ``register``: lists of what the other operators add to events.

    :param script: the text, or the name of an ``.mlsql`` file, which starts at the DAG file. Airflow renders either as a
        template. Scripts, data and included files with relative paths are looked for in the script's folder.
    :param variables: values for ``${name}``, taken as they are.
    :param functions: registered functions that queries may call besides those the script registers: names to model paths, or
        XComs of register tasks.
    :param kafka_conn_id: a Kafka connection for ``train`` with ``enableDataLocal="false"``; ``kafkaParam`` comes over it.
    :param mlflow_conn_id: a connection with the address of an MLflow tracking server and its credentials, to which trainings and
        registrations of the script are sent.
    :param show_rows: rows of the last table in the XCom, 1000 at most; 0 for none, when computing them again takes too long.
    """

    template_fields: Sequence[str] = (
        *MLSQLOperator.template_fields,
        "script",
        "variables",
        "functions",
        "kafka_conn_id",
        "mlflow_conn_id",
        "show_rows",
    )
    template_fields_renderers = {"script": "sql", "variables": "json", "functions": "json"}

    def __init__(
        self,
        *,
        script: str,
        variables: Mapping[str, Any] | str | None = None,
        functions: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | None = None,
        kafka_conn_id: str | None = None,
        mlflow_conn_id: str | None = None,
        show_rows: int | str = 20,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.script = script
        self.variables = variables
        self.functions = functions
        self.kafka_conn_id = kafka_conn_id
        self.mlflow_conn_id = mlflow_conn_id
        self.show_rows = show_rows
        self._compiled: CompiledScript | None = None
        self._file = script if isinstance(script, str) and script.endswith(_EXTENSION) else None

    def resolve_template_files(self) -> None:
        """Read the script's file. Values of variables are not files, even if they end like the name of one."""
        file = self._find_file()
        if file is not None:
            self.script = file.read_text(encoding="utf-8-sig")
        super().resolve_template_files()

    def build_job(self) -> JobSpec:
        from mlsql_runtime.language import compile_script  # with it comes a parser that no other operator needs

        variables = {} if is_nothing(self.variables) else parse_document(self.variables, "variables")
        if not isinstance(variables, Mapping):
            raise InputError(f"variables is {variables!r}; expected a dict of names to values")
        tracking_uri, tracking = read_tracking(self.mlflow_conn_id, None)
        self._compiled = compiled = compile_script(
            self._text(),
            name=self._file or self.task_id,
            folder=self._folder(),
            variables=variables,
            functions=parse_functions(self.functions),
            access=self.storage.access,
            tracking_uri=tracking_uri,
            kafka_settings=lambda client: KafkaHook(self.kafka_conn_id, config=client).settings,
        )
        statements = compiled.with_preview(parse_optional(_ROWS, self.show_rows, "show_rows") or 0)
        return JobSpec(statements, replace(compiled.secrets, tracking=tracking), compiled.conf, compiled.warnings)

    def locate(self, error: MLSQLError) -> MLSQLError:
        return error if self._compiled is None else self._compiled.locate(error)

    def finish(self, context: Context, result: RunResult) -> dict[str, Any]:
        done = script_to_xcom(result)
        facts = {
            "train": [select_facts(trained, TRAINED) for trained in done["train"]],
            "register": [select_facts(registered, REGISTERED) for registered in done["register"]],
        }
        self.extend_asset_events(context, {kind: each for kind, each in facts.items() if each})
        return done

    def _text(self) -> str:
        """Return the text of the script.

        :raises InputError: without a script.
        """
        if self.script is None or not str(self.script).strip():
            raise InputError("script is empty; give MLSQL text, or the name of an .mlsql file")
        text = str(self.script)
        if text == self._file:
            file = self._find_file()
            if file is not None:  # Airflow does not have mapped tasks read their files
                return file.read_text(encoding="utf-8-sig")
            raise InputError(f"there is no script {text} in {' or '.join(self._searched()) or 'a DAG folder'}; put it there")
        if text.rstrip().endswith(_EXTENSION) and len(text.split()) == 1:
            raise InputError(f"script is {text!r}, which a template gave; a file's name has to be written in the DAG")
        return text

    def _folder(self) -> Path | None:
        """Return the folder of the script's file, or for text that of the DAG."""
        file, dag = self._find_file(), self.get_dag()
        if file is not None:
            return file.parent
        return Path(dag.folder) if dag is not None else None

    def _find_file(self) -> Path | None:
        """Return the script's file; None for text, and when there is no such file."""
        files = (Path(folder, self._file) for folder in self._searched() if self._file is not None)
        return next((file for file in files if file.is_file()), None)

    def _searched(self) -> list[str]:
        """Return the folders in which Airflow looks for files of templates."""
        dag = self.get_dag()
        return [dag.folder, *(dag.template_searchpath or ())] if dag is not None else []
