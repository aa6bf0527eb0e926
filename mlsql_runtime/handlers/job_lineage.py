"""Record what the statements of a job read and write, if its plan asks for that. No failure here fails a statement."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal

from mlsql_runtime.data_sets import CatalogName, DataSet, ModelUse, Provenance, UsedScript
from mlsql_runtime.events import log
from mlsql_runtime.lineage import Definition, with_inputs
from mlsql_runtime.plan import PATH_FORMATS, KafkaFeed, Save, Statement, Train, hide_passwords
from mlsql_runtime.scoring.group_signature import find_signature
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.manifest import FitRecord, Manifest, ScriptFacts
from mlsql_runtime.store.signature import Signature
from mlsql_runtime.stored_tables import StoredTable, describe_stored, list_paths, read_plan

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

    from mlsql_runtime.run_context import RunContext

MAX_PATHS = 20  # of one table; more are reported as the folders that they are in
MAX_COLUMNS = 1000  # a table with more is reported without columns
_OWN_CATALOG = "spark_catalog"
Role = Literal["train", "register", "predict"]


def record_reads(statement: Statement, context: RunContext) -> None:
    """Record the stored tables from which a statement has made, saved or shown rows, also if it failed."""

    def record() -> None:
        for name in statement.outline.reads:
            if (definition := context.definitions.get(name.lower())) is not None:
                for each in with_inputs(definition):
                    _try(partial(_record_definition, each, context), context)  # one that fails hides no other
        if isinstance(statement, Train) and isinstance(statement.feed, KafkaFeed) and statement.feed.reuse:
            context.lineage.add_input(_describe_topic(statement.feed))

    _try(record, context)


def record_training(context: RunContext, root: Location, manifest: Manifest) -> None:
    """Record the version that a training has published."""

    def record() -> None:
        fit = manifest.fit(manifest.best.alg_index)
        assert fit is not None
        context.lineage.add_output(_describe_version(root, manifest, fit, rows=manifest.data.rows))
        context.lineage.add_script(_describe_script("train", manifest.script))

    _try(record, context)


def record_model(
    context: RunContext,
    root: Location,
    manifest: Manifest,
    fit: FitRecord,
    role: Role,
    script: ScriptFacts | None,
    function: str | None = None,
) -> None:
    """Record the version that a registration or a batch script has used.

    :param script: what ran with it; None if nothing did.
    :param function: the function that was registered for it.
    """

    def record() -> None:
        context.lineage.add_input(_describe_version(root, manifest, fit, functions=() if function is None else (function,)))
        if script is not None:
            context.lineage.add_script(_describe_script(role, script))

    _try(record, context)


def record_function(context: RunContext, name: str, record: FunctionRecord) -> None:
    """Record the model behind a function that a query may call as ``name``."""
    _try(
        lambda: context.lineage.add_input(
            DataSet(
                uri=hide_passwords(record.model_path, ""),
                columns=_list_columns(record.signature),
                version=str(record.version),
                model=ModelUse(
                    alg_index=record.alg_index,
                    score=record.score,
                    greater_is_better=record.greater_is_better,
                    functions=(name,),
                ),
            )
        ),
        context,
    )


def record_save(statement: Save, context: RunContext, rows: int, qualify: Callable[[str], str]) -> None:
    """Record the table that was saved.

    :param rows: how many were written.
    :param qualify: returns a path as an absolute URI.
    """

    def record() -> None:
        if statement.path is None:
            return
        if statement.is_to_catalog:
            for node in read_plan(context.spark.table(statement.path), ()).stored:
                for data_set in _describe_node(node, context.spark, rows):
                    context.lineage.add_output(data_set)
        elif statement.format.lower() in PATH_FORMATS:
            columns = _name_types(context.table(statement.table).schema)
            uri = hide_passwords(qualify(statement.path), "")
            context.lineage.add_output(DataSet(uri=uri, format=statement.format.lower(), columns=columns, rows=rows))

    _try(record, context)


def _try(record: Callable[[], None], context: RunContext) -> None:
    """Call a function that records something, if the plan asks for it. What cannot be found is logged and left out."""
    if not context.plan.collect_lineage:
        return
    try:
        record()
    except Exception as error:
        log(f"lineage: {context.plan.statements[context.index].outline.title} is not recorded in full: {error!r}")


def _record_definition(definition: Definition, context: RunContext) -> None:
    """Record the stored tables that a load or a query reads itself."""
    origin = definition.statement.outline.origin
    if origin is None or origin.kind not in ("load", "select"):
        return
    for node in definition.reads.stored:
        for data_set in _describe_node(node, context.spark):
            context.lineage.add_input(data_set)


def _describe_node(node: Any, spark: SparkSession, rows: int | None = None) -> Iterator[DataSet]:
    """Yield the data sets of a node of :class:`~mlsql_runtime.stored_tables.PlanReads`: one, or one for each of its paths.

    A view of a catalog has none; the tables that it reads are nodes of their own.
    """
    stored = describe_stored(node, spark._jvm)
    if stored.sql is not None:
        return
    table = None if stored.name is None else _find_catalog_name(stored.name, stored, spark)
    paths: list[str | None] = [stored.path]
    if table is None:
        paths = [*_join_paths(list_paths(node, spark._jvm))] or paths
    if table is None and paths == [None]:
        return
    for path in paths:
        is_whole = len(paths) == 1
        yield DataSet(
            uri=None if path is None else hide_passwords(path, ""),
            table=table,
            format=stored.format,
            columns=_read_columns(node),
            version=None if stored.version is None else stored.version.id,
            rows=rows,
            files=stored.files.count if stored.files is not None and is_whole else None,
            size=stored.files.size if stored.files is not None and is_whole else None,
        )


def _join_paths(paths: list[str]) -> list[str]:
    """Return the paths, or the folders that they are in if they are many, or one folder that contains all of these."""
    if len(paths) <= MAX_PATHS:
        return paths
    folders = list(dict.fromkeys(path.rpartition("/")[0] for path in paths))
    levels = zip(*(folder.split("/") for folder in folders), strict=False)
    common = "/".join(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))
    return folders if len(folders) <= MAX_PATHS or not common else [common]


def _find_catalog_name(name: str, stored: StoredTable, spark: SparkSession) -> CatalogName | None:
    """Return the name of a table and the URI of its catalog, as OpenLineage's integration of Spark finds them.

    None if nothing identifies the catalog: a table in a warehouse without a metastore is named by its place alone if that is
    elsewhere.
    """

    def find(*properties: str) -> str | None:
        return next((str(value) for each in properties if (value := spark.conf.get(each, None))), None)

    first, _, rest = name.partition(".")
    if rest and first != _OWN_CATALOG and find(f"spark.sql.catalog.{first}"):
        catalog = find(f"spark.sql.catalog.{first}.uri", f"spark.sql.catalog.{first}.warehouse")
        return CatalogName(name=rest, catalog=hide_passwords(catalog or first, ""))
    if find("spark.sql.catalogImplementation") == "hive":
        hadoop = spark.sparkContext._jsc.hadoopConfiguration().get("hive.metastore.uris")
        if servers := find("spark.sql.hive.metastore.uris", "spark.hadoop.hive.metastore.uris") or hadoop:
            return CatalogName(name=name, catalog=str(servers).split(",")[0].strip())
    warehouse = find("spark.sql.warehouse.dir")
    if warehouse and (stored.path is None or stored.path.startswith(warehouse.rstrip("/") + "/")):
        return CatalogName(name=name, catalog=warehouse)
    return None if stored.path is not None else CatalogName(name=name, catalog=_OWN_CATALOG)


def _read_columns(node: Any) -> dict[str, str]:
    from pyspark.sql.types import StructType

    return _name_types(StructType.fromJson(json.loads(str(node.schema().json()))))


def _name_types(schema: StructType) -> dict[str, str]:
    if len(schema) > MAX_COLUMNS:
        return {}
    return {field.name: field.dataType.simpleString() for field in schema}


def _describe_topic(feed: KafkaFeed) -> DataSet:
    """Return a topic that the user has named; one that a run makes for itself is not a data set."""
    brokers = feed.settings.get("bootstrap_servers", "")
    return DataSet(uri=f"kafka://{brokers.split(',')[0].strip()}/{feed.topic}", format="kafka")


def _describe_version(
    root: Location, manifest: Manifest, fit: FitRecord, rows: int | None = None, functions: tuple[str, ...] = ()
) -> DataSet:
    return DataSet(
        uri=hide_passwords(root.uri, ""),
        columns=_list_columns(find_signature(manifest, fit)),
        version=str(manifest.version),
        rows=rows,
        model=ModelUse(
            alg_index=fit.alg_index,
            score=fit.score,
            greater_is_better=manifest.greater_is_better,
            metrics=fit.metrics,
            functions=functions,
            provenance=Provenance(
                job_id=manifest.job_id,
                created=manifest.created,
                script=manifest.script.name,
                script_sha256=manifest.script.sha256,
            ),
        ),
    )


def _list_columns(signature: Signature | None) -> dict[str, str]:
    """Return the feature columns in the order in which functions take them, and the label."""
    if signature is None or len(signature.features) > MAX_COLUMNS:
        return {}
    label = () if signature.label is None else (signature.label,)
    return {column.name: column.type for column in (*signature.features, *label)}


def _describe_script(role: Role, script: ScriptFacts) -> UsedScript:
    return UsedScript(role=role, name=script.name, sha256=script.sha256)
