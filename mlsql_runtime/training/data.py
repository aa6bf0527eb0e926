"""Bring a training table to where the fit groups can read it, and hold rows out to validate with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlsql_runtime.errors import DataError
from mlsql_runtime.events import log
from mlsql_runtime.feed.files.export import PARQUET, ExportedTable, export
from mlsql_runtime.feed.table_facts import HOLD_OUT_SEED, arrow_schema
from mlsql_runtime.feed.topic.scan import scan_topic
from mlsql_runtime.feed.topic.send import SendTarget, SentTable, send
from mlsql_runtime.kafka.run_topic import Owner, client_settings, group_prefix, run_topic, try_to_remove_run
from mlsql_runtime.plan import FileFeed, KafkaFeed, Train
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.spark_progress import report_progress
from mlsql_runtime.storage.location import Location
from mlsql_runtime.training.columns import feature_column
from mlsql_runtime.training.data_format import choose_format
from mlsql_runtime.training.resume import Data, StagedTable

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_HOLD_OUT = "__mlsql_held_out"


@dataclass(frozen=True)
class TrainingData:
    """``feature`` is the column that functions will be called with, if the table has it."""

    table: ExportedTable | SentTable
    validate: ExportedTable | None
    feature: str | None

    @property
    def facts(self) -> Data:
        """What tells them from others."""
        return Data(
            table=StagedTable.of(self.table) if isinstance(self.table, ExportedTable) else None,
            content=self.table.content if isinstance(self.table, SentTable) else None,
            validate=StagedTable.of(self.validate),
            feature=self.feature,
        )


def with_format(statement: Train, bundle: ScriptBundle, context: RunContext) -> Train:
    """The statement with a format for its files. Which was chosen is told."""

    def schema() -> pa.Schema | None:
        from pyspark.errors import PySparkException

        try:
            return arrow_schema(context.table(statement.table or ""))
        except PySparkException:
            return None

    chosen, choice = choose_format(statement, bundle, schema)
    if choice is not None:
        log(f"train: data go as {choice.format} files: {choice.why}")
    return chosen


Move = Callable[["DataFrame", "str | None"], "ExportedTable | SentTable"]


@contextmanager
def training_data(statement: Train, context: RunContext, stage: Location, earlier: Data | None = None) -> Iterator[TrainingData]:
    """The statement's data, there for the groups until the block ends.

    :param earlier: what an interrupted attempt had. Its files are taken as they are, whatever the table holds by now. Through
        Kafka the table is sent again; if it is the same one, the rows to validate with are those of that attempt.
    :raises DataError: when there is nothing to train on, or the data cannot be brought there.
    """
    begun = time.monotonic()
    with _moved(statement, context, stage, earlier) as data:
        rows = data.table.facts.rows
        if rows == 0:
            held = data.validate.facts.rows if data.validate else 0
            why = f": all its {held} rows are held out" if held else " is empty"
            raise DataError(f"the table '{statement.table}'{why}: there is nothing to train on", table=statement.table)
        held_out = f", {data.validate.facts.rows} to validate with" if data.validate else ""
        told_from = " of the earlier attempt" if earlier is not None and data.facts == earlier else ""
        seconds = time.monotonic() - begun
        log(f"train: {rows} rows {_how(statement, data.table)}{told_from}{held_out} ({seconds:.1f} s)")
        yield data


def _how(statement: Train, table: ExportedTable | SentTable) -> str:
    if isinstance(table, ExportedTable):
        return f"as {table.format} files"
    verb = "in" if isinstance(statement.feed, KafkaFeed) and statement.feed.reuse else "through"
    return f"{verb} topic {table.span.topic} on {table.settings.servers}"


@contextmanager
def _moved(statement: Train, context: RunContext, stage: Location, earlier: Data | None) -> Iterator[TrainingData]:
    feed = statement.feed
    if earlier is not None and earlier.table is not None:
        assert isinstance(feed, FileFeed)
        yield TrainingData(earlier.table.exported(feed), _earlier_validation(earlier), earlier.feature)
    elif isinstance(feed, FileFeed):
        yield _move(statement, context, stage, lambda df, feature: export(df, stage / "data", feed, feature))
    else:
        through_kafka = _reused if feed.reuse else _sent
        with through_kafka(statement, feed, context, stage) as data:
            is_same = earlier is not None and earlier.content is not None and earlier.content == data.facts.content
            yield replace(data, validate=_earlier_validation(earlier)) if earlier is not None and is_same else data


def _earlier_validation(earlier: Data) -> ExportedTable | None:
    return None if earlier.validate is None else earlier.validate.exported(PARQUET)


@contextmanager
def _sent(statement: Train, feed: KafkaFeed, context: RunContext, stage: Location) -> Iterator[TrainingData]:
    settings, parallelism = client_settings(feed, context.secrets), context.spark.sparkContext.defaultParallelism
    with run_topic(feed, settings, _owner(statement, context), parallelism) as topic:
        target = SendTarget(settings, topic.name, topic.partitions, topic.max_bytes, topic.run)
        yield _move(statement, context, stage, lambda df, feature: send(df, target, topic.group, feature))


@contextmanager
def _reused(statement: Train, feed: KafkaFeed, context: RunContext, stage: Location) -> Iterator[TrainingData]:
    settings = client_settings(feed, context.secrets)
    wanted = statement.fit_params[0].get("inputCol", "features")
    try:
        table = scan_topic(settings, feed.topic, group_prefix(feed, _owner(statement, context)), wanted)
        yield TrainingData(table, _validation(statement, context, stage), feature_column(statement, table.facts.columns))
    finally:
        try_to_remove_run(feed, settings, _owner(statement, context))


def _owner(statement: Train, context: RunContext) -> Owner:
    return Owner(context.job_id, statement.model_path, len(statement.fit_params))


def _move(statement: Train, context: RunContext, stage: Location, move: Move) -> TrainingData:
    assert statement.table is not None
    table = context.table(statement.table)
    feature = feature_column(statement, table.columns)
    with report_progress(context.spark, f"train: table {statement.table}"):
        if statement.validate_fraction is not None:
            data, validate = _move_split(table, statement.validate_fraction, move, stage, feature)
            return TrainingData(data, validate, feature)
        data = move(table, feature)
        return TrainingData(data, _validation(statement, context, stage) if data.facts.rows else None, feature)


def _validation(statement: Train, context: RunContext, stage: Location) -> ExportedTable | None:
    """Validation data are files whatever the transport: each group reads all of them at once."""
    if statement.validate_table is None:
        return None
    return export(context.table(statement.validate_table), stage / "validate", PARQUET, None)


def _move_split(
    table: DataFrame, fraction: float, move: Move, stage: Location, feature: str | None
) -> tuple[ExportedTable | SentTable, ExportedTable]:
    """Hold rows out at random. The draw is kept while both parts are written, so that no row is in both or in none."""
    from pyspark.sql import functions as F

    drawn = table.withColumn(_HOLD_OUT, F.rand(HOLD_OUT_SEED) < F.lit(fraction)).persist()
    try:
        data = move(drawn.filter(f"not {_HOLD_OUT}").drop(_HOLD_OUT), feature)
        validate = export(drawn.filter(_HOLD_OUT).drop(_HOLD_OUT), stage / "validate", PARQUET, None)
        total = drawn.count()
    finally:
        drawn.unpersist()
    rows, held = data.facts.rows, validate.facts.rows
    if rows + held != total:
        raise DataError(f"{total} rows were split into {rows} and {held}; the table changes while it is read")
    return data, validate
