"""The load, select and save statements, which Spark executes."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any

from mlsql_runtime.errors import InputError
from mlsql_runtime.events import log
from mlsql_runtime.handlers.catalog_tables import explain_missing_tables, write_to_catalog
from mlsql_runtime.handlers.job_lineage import record_function, record_save
from mlsql_runtime.handlers.library_versions import find_installed_versions, warn_of_other_versions
from mlsql_runtime.lineage import Definition, with_inputs
from mlsql_runtime.parquet_queries.table import score_from_files
from mlsql_runtime.plan import FILE_FORMATS, Load, Save, Select
from mlsql_runtime.result import FunctionUse, SaveResult, SelectResult
from mlsql_runtime.scoring.call_check import check_calls, explain_misuse
from mlsql_runtime.scoring.function_loader import check_function
from mlsql_runtime.scoring.vector_functions import register_called
from mlsql_runtime.storage.patterns import escape_existing
from mlsql_runtime.store.functions import read_function
from mlsql_runtime.store.versions import open_model_path
from mlsql_runtime.stored_tables import list_paths

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from mlsql_runtime.run_context import RunContext


_LINE_END = re.compile(r"\r\n|\r|\n")


def load(statement: Load, context: RunContext) -> None:
    """Read a table in any format of Spark, of a catalog, or from the text that the statement holds.

    :raises InputError: when no catalog has the table.
    """
    reader = context.spark.read.options(**statement.options)
    if statement.text is not None:
        table = _read_text(statement, statement.text, context)
    elif statement.is_from_catalog and statement.path is not None:
        with explain_missing_tables(context):
            table = reader.table(statement.path)
    else:
        table = reader.format(statement.format).load(_find_literal(statement, context))
    context.define(statement.table, table)


def _read_text(statement: Load, text: str, context: RunContext) -> DataFrame:
    """Read one record per line; JSON with Spark's option ``multiLine`` is one record in all."""
    options = {name.lower(): value.lower() for name, value in statement.options.items()}
    is_one = options.get("multiline") == "true"
    if is_one and statement.format == "csv":
        raise InputError(
            f"table {statement.table}: csvStr has one row in each line, and multiLine is for files; write the text to a file"
        )
    whole = statement.format == "json" and is_one
    lines = [text] if whole else [line for line in _LINE_END.split(text) if line.strip()]
    records = context.spark.sparkContext.parallelize(lines, 1)
    reader = context.spark.read.options(**statement.options)
    return reader.json(records) if statement.format == "json" else reader.csv(records)


def select(statement: Select, context: RunContext) -> SelectResult | None:
    """Run Spark SQL. The registered functions that it calls are made callable first.

    :raises InputError: when the query reads a table that does not exist.
    """
    uses = []
    for ref in statement.functions:
        record = read_function(open_model_path(ref.model_path, context.access), ref.function, ref.function_version)
        check_function(record, context.access)
        context.serve(ref.name, record)
        record_function(context, ref.name, record)
        uses.append(
            FunctionUse(
                name=ref.name,
                model_path=record.model_path,
                function=record.function,
                function_version=record.function_version,
                version=record.version,
                alg_index=record.alg_index,
                score=record.score,
            )
        )
        log(
            f"function {ref.name}: {record.function} version {record.function_version}, model version {record.version}, "
            f"group {record.alg_index}, score {record.score}"
        )
        warn_of_other_versions(
            f"function {ref.name}", record.packages, find_installed_versions(context) if record.packages else ()
        )
    register_called(context.spark, statement.sql, [ref.name for ref in statement.functions])
    with explain_missing_tables(context):
        context.define(statement.table, _run_query(statement.sql, context))
    return SelectResult(table=statement.table, functions=tuple(uses)) if uses else None


def _run_query(sql: str, context: RunContext) -> DataFrame:
    """Return the table of a query whose functions get what they take.

    :raises InputError: when a function is called with other columns than it takes, or its result is used as another type.
    """
    from pyspark.errors import AnalysisException

    try:
        table = context.spark.sql(sql)
    except AnalysisException as error:
        if (explained := explain_misuse(error, context.functions)) is not None:
            raise explained from error
        raise
    check_calls(table, context.functions)
    return table


def save(statement: Save, context: RunContext) -> SaveResult:
    """Write a table in any format of Spark or to a catalog, and count the rows while they are written."""
    table = context.table(statement.table)
    if statement.mode != "ignore" and not (statement.is_to_catalog and statement.mode == "overwrite"):
        # Spark refuses to replace a table that it reads; with ignore, it may have nothing to do.
        table = score_from_files(table, context.access, {name: each.model_path for name, each in context.functions.items()})
    if statement.file_num is not None:
        table = table.repartition(statement.file_num)
    if statement.is_to_catalog:
        with explain_missing_tables(context):
            rows = write_to_catalog(table, statement)
    else:
        rows = _write(table, statement, context)
    if rows is not None:
        log(f"save: {rows} rows of {statement.table} as {statement.format} to {statement.path}")
        record_save(statement, context, rows, partial(_qualify, context=context))
    elif statement.path is not None:
        log(f"save: {statement.path} exists and the mode is ignore, so nothing is written")
    return SaveResult(format=statement.format, output=statement.path, rows=rows)


def _write(table: DataFrame, statement: Save, context: RunContext) -> int | None:
    """Return the number of rows; None if nothing was written, or if only the writer knows whether it wrote."""
    from pyspark.sql import Observation
    from pyspark.sql import functions as F

    if statement.mode == "ignore" and statement.path is not None and _exists(statement.path, context):
        return None
    if statement.mode == "overwrite" and statement.path is not None:
        _refuse_own_source(statement, statement.path, context)
    observation = Observation()
    observed = table.observe(observation, F.count(F.lit(1)).alias("rows"))
    writer = observed.write.format(statement.format).mode(statement.mode).options(**statement.options)
    if statement.partition_by:
        writer = writer.partitionBy(*statement.partition_by)
    writer.save(statement.path)
    if statement.mode == "ignore" and statement.path is None:
        return None
    rows: int = observation.get["rows"]
    return rows


def _find_literal(statement: Load, context: RunContext) -> str | None:
    """Return the path for Spark's reader, which would take brackets in the name of an existing file for a pattern."""
    if statement.path is None or statement.format.lower() not in FILE_FORMATS:
        return statement.path
    return escape_existing(statement.path, lambda path: _exists(path, context))


def _replaces_partitions(statement: Save, context: RunContext) -> bool:
    """Return whether Spark replaces partitions when their new files are complete, and removes nothing before."""
    default = str(context.spark.conf.get("spark.sql.sources.partitionOverwriteMode"))
    given = (value for name, value in statement.options.items() if name.lower() == "partitionoverwritemode")
    return bool(statement.partition_by) and next(given, default).lower() == "dynamic"


def _refuse_own_source(statement: Save, target: str, context: RunContext) -> None:
    """Refuse to overwrite files from which the table is made: Spark removes them before it reads them.

    :raises InputError: naming the table that is read from there.
    """
    if statement.format.lower() not in FILE_FORMATS or _replaces_partitions(statement, context):
        return
    written = f"{_resolve(_qualify(target, context))}/"
    for definition in with_inputs(context.definitions[statement.table.lower()], unread=True):
        for path in _find_read_paths(definition, context):
            source = f"{_resolve(path)}/"
            is_partition = written.startswith(source) and "=" in written.removeprefix(source)
            if source.startswith(written) or is_partition:
                raise InputError(
                    f"save overwrites {target}, from which table '{definition.statement.outline.defines}' is read, and Spark "
                    "would remove its files before it reads them; save to another path",
                    path=target,
                )


def _find_read_paths(definition: Definition, context: RunContext) -> list[str]:
    """Return the paths of the files that a load or a select reads itself, as absolute URIs, without patterns."""
    statement = definition.statement
    if not isinstance(statement, (Load, Select)):
        return []
    try:
        return [path for node in definition.reads.stored for path in list_paths(node, context.spark._jvm)]
    except Exception as error:
        log(f"save: the plan of Spark does not say which files table {statement.table} is read from: {error!r}")
        if isinstance(statement, Load) and statement.path is not None and statement.format.lower() in FILE_FORMATS:
            return [_qualify(statement.path, context)]
        return []


def _resolve(uri: str) -> str:
    """Return an absolute URI without symbolic links in the path of a local file."""
    scheme, _, path = uri.partition(":")
    return f"file:{os.path.realpath(path)}" if scheme == "file" else uri.rstrip("/")


def _exists(name: str, context: RunContext) -> bool:
    """Return whether a path exists in Hadoop's file system, which Spark reads from and writes to."""
    path, file_system = _open_path(name, context)
    return bool(file_system.exists(path))


def _qualify(name: str, context: RunContext) -> str:
    """Return a path as an absolute URI."""
    path, file_system = _open_path(name, context)
    return str(file_system.makeQualified(path).toString()).rstrip("/")


def _open_path(name: str, context: RunContext) -> tuple[Any, Any]:
    """Return a path as Hadoop's class, and its file system."""
    spark_context = context.spark.sparkContext
    path = spark_context._jvm.org.apache.hadoop.fs.Path(name)  # type: ignore[union-attr]
    return path, path.getFileSystem(spark_context._jsc.hadoopConfiguration())
