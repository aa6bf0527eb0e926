"""Load the data of a request with a local SparkSession, as a job does."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mlsql_runtime.feed.files.export import ExportedTable
from mlsql_runtime.handlers.tables import load
from mlsql_runtime.local.data_source import DataSource
from mlsql_runtime.local.request import TABLE, VALIDATION, FitRequest, LoadedData
from mlsql_runtime.plan import Load, Plan
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.spark_errors import translate
from mlsql_runtime.spark_versions import check_installation, check_session
from mlsql_runtime.storage.location import Location
from mlsql_runtime.training.columns import (
    check_columns,
    check_facts,
    check_named_columns,
    find_roles,
    list_columns,
    make_signature,
)
from mlsql_runtime.training.data import prepare_data
from mlsql_runtime.training.group import DATA, VALIDATE
from mlsql_runtime.training.originals import SETTING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def load_with_spark(request: FitRequest, bundle: ScriptBundle, folder: Path, stage: Path) -> LoadedData:
    """Load training and validation data, check the columns, and export both as files in ``folder``.

    :param stage: a folder for Spark's files; the caller removes it.
    :raises MLSQLError: as a job does.
    """
    try:
        with _open_session(stage) as spark, ExitStack() as cleanup:
            sources = {TABLE: request.data, VALIDATION: request.validate}
            loads = tuple(_to_statement(name, source) for name, source in sources.items() if source is not None)
            context = RunContext(Plan(job_id="fit", statements=loads), spark, cleanup)
            for index, statement in enumerate(loads):
                load(statement, replace(context, index=index))
            if request.validate is not None:
                check_named_columns(request.statement, "the validation table", context.table(VALIDATION).columns)
            check_columns(request.statement, bundle, context.table(TABLE).columns)
            with prepare_data(request.statement, context, Location.of(str(stage / "export"))) as data:
                check_facts(request.statement, bundle, data.facts)
                assert isinstance(data.table, ExportedTable)
                assert data.validate is None or isinstance(data.validate, ExportedTable)
                facts = data.table.facts
                return LoadedData(
                    table=data.table.open(folder / DATA, is_kept=True),
                    validate=None if data.validate is None else data.validate.open(folder / VALIDATE, is_kept=True),
                    signature=make_signature(request.statement, facts),
                    columns=list_columns(request.statement, find_roles(request.statement, list(facts.columns))),
                )
    except Exception as error:
        translated = translate(error)
        raise translated from (None if translated is error else error)


def _to_statement(name: str, source: DataSource) -> Load:
    path = Location.of(source.path).uri if source.path and "://" not in source.path else source.path
    return Load(table=name, format=source.format, path=path or None, options=source.options)


@contextlib.contextmanager
def _open_session(stage: Path) -> Iterator[SparkSession]:
    """Open a session on this machine without its UI and its log. It ends before the script runs."""
    from pyspark import __version__
    from pyspark.sql import SparkSession

    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    check_installation(is_in_process=True)
    before = signal.getsignal(signal.SIGINT)  # PySpark replaces it
    session = (
        SparkSession.builder.master("local[*]")
        .appName("mlsql fit")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.warehouse.dir", (stage / "warehouse").as_uri())
        .config("spark.local.dir", str(stage))
        .config(SETTING, "false")  # the script may run long after the files are gone
        .getOrCreate()
    )
    try:
        session.sparkContext.setLogLevel("OFF")
        check_session(__version__, session.version)
        yield session
    finally:
        session.stop()
        signal.signal(signal.SIGINT, before)
