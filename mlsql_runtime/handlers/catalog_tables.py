"""Tables in the session's catalogs: write to them, and say what is wrong with a name that no catalog has."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlsql_runtime.errors import InputError, did_you_mean
from mlsql_runtime.events import log
from mlsql_runtime.plan import Save
from mlsql_runtime.stored_tables import StoredTable, describe_stored, read_plan

if TYPE_CHECKING:
    from pyspark.errors import AnalysisException
    from pyspark.sql import DataFrame, SparkSession

    from mlsql_runtime.run_context import RunContext

# Spark's conditions for a missing table, database or catalog, and the parameters that name it.
_MISSING = {
    "TABLE_OR_VIEW_NOT_FOUND": ("relationName",),
    "SCHEMA_NOT_FOUND": ("schemaName",),
    "CATALOG_NOT_FOUND": ("catalogName",),
    "REQUIRES_SINGLE_PART_NAMESPACE": ("identifier", "namespace"),  # of Spark's own catalog, which a missing one is taken for
}
_PART = re.compile(r"`((?:[^`]|``)+)`|([^.`]+)")


@contextlib.contextmanager
def explain_missing_tables(context: RunContext) -> Iterator[None]:
    """Raise InputError, with the nearest name, for a table, database or catalog that Spark does not find.

    :raises InputError: naming what is missing.
    """
    from pyspark.errors import AnalysisException

    try:
        yield
    except AnalysisException as error:
        explained = _explain(error, context)
        if explained is None:
            raise
        raise explained from error


def _explain(error: AnalysisException, context: RunContext) -> InputError | None:
    condition = error.getCondition() or ""
    if condition not in _MISSING:
        return None
    spark = context.spark
    parameters = error.getMessageParameters() or {}
    parts = split_name(next((parameters[name] for name in _MISSING[condition] if name in parameters), ""))
    if condition in ("CATALOG_NOT_FOUND", "REQUIRES_SINGLE_PART_NAMESPACE"):
        return _missing_catalog(parts[0], spark)
    is_table = condition != "SCHEMA_NOT_FOUND"
    database = parts[:-1] if is_table else parts
    if database:
        known = _list(spark, f"show namespaces{_within(database[:-1])}", 0)
        if not is_table or (known and database[-1].lower() not in map(str.lower, known)):
            name = ".".join(database).removeprefix("spark_catalog.")
            return InputError(f"there is no database '{name}'{did_you_mean(database[-1], known)}", database=name)
    tables = _list(spark, f"show tables{_within(database)}", 1)
    where = f" in {'.'.join(database)}" if database else ""
    return InputError(f"there is no table '{parts[-1]}'{where}{did_you_mean(parts[-1], tables)}", table=".".join(parts))


def _missing_catalog(name: str, spark: SparkSession) -> InputError:
    return InputError(
        f"the session has no catalog '{name}': Spark's property spark.sql.catalog.{name} is not set"
        f"{did_you_mean(name, _list_catalogs(spark))}",
        catalog=name,
    )


def split_name(text: str) -> list[str]:
    """Return the parts of a table's name, which may stand in back-quotes."""
    return [quoted.replace("``", "`") or plain for quoted, plain in _PART.findall(text)] or [text]


def _within(parts: list[str]) -> str:
    return f" in {quote_name(parts)}" if parts else ""


def quote_name(parts: list[str]) -> str:
    """Return a name with each part in back-quotes."""
    return ".".join(f"`{part.replace('`', '``')}`" for part in parts)


def _list_catalogs(spark: SparkSession) -> list[str]:
    prefix = "spark.sql.catalog."
    names = [name.removeprefix(prefix) for name, _ in spark.sparkContext.getConf().getAll() if name.startswith(prefix)]
    return sorted({"spark_catalog", *(name for name in names if "." not in name)})


def _list(spark: SparkSession, command: str, column: int) -> list[str]:
    """Return the names that a command lists; none if the catalog refuses: they are only a help in a message."""
    with contextlib.suppress(Exception):
        return [str(row[column]) for row in spark.sql(command).collect()]
    return []


def write_to_catalog(table: DataFrame, statement: Save) -> int | None:
    """Write rows to a table of a catalog, columns by name, and create the table if there is none.

    ``overwrite`` replaces the rows of an existing table; its columns, partitions, properties and grants stay.

    :return: the number of rows that were written; None if the table exists and the mode is ``ignore``.
    :raises InputError: when the table exists and must not, is of another format, or has other columns.
    """
    from pyspark.sql import Observation
    from pyspark.sql import functions as F

    spark = table.sparkSession
    parts = split_name(statement.path or "")
    if len(parts) == 1:  # a temporary view may have the same name
        parts = [spark.catalog.currentCatalog(), spark.catalog.currentDatabase(), *parts]
    name = quote_name(parts)
    exists = spark.catalog.tableExists(name)
    if exists and statement.mode == "ignore":
        return None
    if exists and statement.mode == "errorIfExists":
        raise InputError(f"table {statement.path} exists; save with append or overwrite, or to another table", table=name)
    observation = Observation()
    observed = table.observe(observation, F.count(F.lit(1)).alias("rows"))
    if exists:
        _add_rows(observed, name, statement)
    else:
        _create(observed, name, statement)
        if not _find_stored(spark, name).is_spark_own:  # connectors fill it with a query of their own, which is not observed
            return spark.table(name).count()
    rows: int = observation.get["rows"]
    return rows


def _find_stored(spark: SparkSession, name: str) -> StoredTable:
    table = spark.table(name)
    nodes = read_plan(table, ()).stored
    return describe_stored(nodes[0], spark._jvm, is_measured=False) if nodes else StoredTable(name=name)


def _create(table: DataFrame, name: str, statement: Save) -> None:
    from pyspark.sql import functions as F

    writer = table.writeTo(name).options(**statement.options)
    if statement.using is not None:
        writer = writer.using(statement.using)
    if statement.partition_by:
        writer = writer.partitionedBy(*(F.col(quote_name([column])) for column in statement.partition_by))
    writer.create()


def _add_rows(table: DataFrame, name: str, statement: Save) -> None:
    from pyspark.errors import AnalysisException
    from pyspark.sql import functions as F

    stored = _find_stored(table.sparkSession, name)
    if statement.using is not None and stored.format is not None and statement.using.lower() != stored.format.lower():
        raise InputError(f"table {statement.path} is stored as {stored.format}, not as {statement.using}; leave the format out")
    if statement.partition_by:
        log(f"save: {statement.path} exists, and keeps its own partitions")
    overwrites = statement.mode == "overwrite"
    columns = table.sparkSession.table(name).columns
    if stored.is_spark_own:
        ordered = _in_order(table, columns, statement)
        with _replace_all_partitions(table.sparkSession):
            ordered.write.options(**statement.options).insertInto(name, overwrite=overwrites)
        return
    writer = table.writeTo(name).options(**statement.options)
    try:
        writer.overwrite(F.lit(True)) if overwrites else writer.append()
    except AnalysisException:
        _in_order(table, columns, statement)  # raises if this is the reason; an option of the connector may add columns
        raise


@contextlib.contextmanager
def _replace_all_partitions(spark: SparkSession) -> Iterator[None]:
    """Let overwriting replace all rows of Spark's own tables, and not only the partitions that are written."""
    name = "spark.sql.sources.partitionOverwriteMode"
    before = spark.conf.get(name)
    spark.conf.set(name, "static")
    try:
        yield
    finally:
        spark.conf.set(name, str(before))


def _in_order(table: DataFrame, columns: list[str], statement: Save) -> DataFrame:
    """Return the columns in the order of the stored table, which Spark would fill by position."""
    given = {name.lower(): name for name in table.columns}
    missing = [name for name in columns if name.lower() not in given]
    extra = [name for name in table.columns if name.lower() not in {column.lower() for column in columns}]
    if missing or extra or len(given) < len(table.columns):
        raise InputError(
            f"the columns of {statement.table} are not those of table {statement.path}: expected {', '.join(columns)}, "
            f"got {', '.join(table.columns)}; select the same columns",
            missing=missing,
            extra=extra,
        )
    return table.select(*(quote_name([given[name.lower()]]) for name in columns))
