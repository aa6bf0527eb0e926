"""The data of a training run: the table and the validation rows, prepared for its fit groups."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsql_runtime.errors import DataError
from mlsql_runtime.events import log
from mlsql_runtime.feed.files.export import PARQUET, ExportedTable, ExportFeed
from mlsql_runtime.feed.interface import Feed, PreparedTable
from mlsql_runtime.feed.table_facts import HOLD_OUT_SEED
from mlsql_runtime.kafka.run_topic import Owner, client_settings
from mlsql_runtime.plan import FileFeed, Train
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.spark_progress import report_progress
from mlsql_runtime.storage.location import Location
from mlsql_runtime.training.columns import feature_column, input_column
from mlsql_runtime.training.resume import StagedData

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_HOLD_OUT = "__mlsql_held_out"


@dataclass(frozen=True)
class TrainingData:
    """``feature`` is the column that functions will be called with, if the table has it."""

    table: PreparedTable
    validate: ExportedTable | None
    feature: str | None

    @property
    def validate_rows(self) -> int:
        return self.validate.facts.rows if self.validate else 0

    @property
    def staged(self) -> StagedData:
        validate = self.validate.identity if self.validate else None
        return StagedData(table=self.table.identity, validate=validate, feature=self.feature)


def create_feed(statement: Train, context: RunContext, stage: Location) -> Feed:
    """Return the feed that the statement asks for: the only place that knows which ones there are.

    :raises InputError: when the job lacks the secrets of the Kafka connection.
    """
    if isinstance(statement.feed, FileFeed):
        return ExportFeed(statement.feed, stage / "data")
    from mlsql_runtime.feed.topic.feed import TopicFeed

    owner = Owner(context.job_id, statement.model_path, len(statement.fit_params))
    return TopicFeed(statement.feed, client_settings(statement.feed, context.secrets), owner)


@contextmanager
def prepare_data(
    statement: Train, context: RunContext, stage: Location, earlier: StagedData | None = None
) -> Iterator[TrainingData]:
    """Prepare the statement's data, which fit groups can read until the block ends.

    :param earlier: the data of an interrupted attempt. Its files are used as they are, whatever the table holds by now. Through
        Kafka the table is sent again; if it is the same one, the validation rows are those of the earlier attempt.
    :raises DataError: when there is nothing to train on, or the data cannot be prepared.
    """
    started = time.monotonic()
    feed = create_feed(statement, context, stage)
    try:
        data = _prepare(statement, context, feed, stage, earlier)
        rows, held = data.table.facts.rows, data.validate_rows
        if rows == 0:
            why = f": all its {held} rows are held out" if held else " is empty"
            raise DataError(f"the table '{statement.table}'{why}: there is nothing to train on", table=statement.table)
        source = " of the earlier attempt" if earlier is not None and data.staged.is_same_as(earlier) else ""
        held_out = f", {held} to validate with" if data.validate else ""
        log(f"train: {rows} rows {data.table.describe()}{source}{held_out} ({time.monotonic() - started:.1f} s)")
        yield data
    finally:
        feed.remove()


def _prepare(statement: Train, context: RunContext, feed: Feed, stage: Location, earlier: StagedData | None) -> TrainingData:
    # Validation data are files in any case: each group reads all of them at once.
    validation_feed = ExportFeed(PARQUET, stage / "validate")
    if earlier is not None and (restored := feed.restore(earlier.table)) is not None:
        validate = validation_feed.restore(earlier.validate) if earlier.validate else None
        return TrainingData(restored, validate, earlier.feature)
    column = input_column(statement)
    with report_progress(context.spark, f"train: table {statement.table or statement.validate_table}"):
        table = None if statement.table is None else context.table(statement.table)
        validate = None
        if statement.validate_fraction is not None and table is not None:
            prepared, validate = _hold_out(table, statement.validate_fraction, feed, validation_feed, column)
        else:
            prepared = feed.prepare(table, column)
            if statement.validate_table is not None and prepared.facts.rows:
                validate = validation_feed.prepare(context.table(statement.validate_table), None)
    if earlier is not None and earlier.validate is not None and prepared.identity.is_same_as(earlier.table):
        validate = validation_feed.restore(earlier.validate)
    return TrainingData(prepared, validate, feature_column(statement, prepared.facts.columns))


def _hold_out(
    table: DataFrame, fraction: float, feed: Feed, validation_feed: ExportFeed, column: str
) -> tuple[PreparedTable, ExportedTable]:
    """Hold rows out at random. The draw is kept while both parts are written, so that no row is in both or in none."""
    from pyspark.sql import functions as F

    drawn = table.withColumn(_HOLD_OUT, F.rand(HOLD_OUT_SEED) < F.lit(fraction)).persist()
    try:
        data = feed.prepare(drawn.filter(f"not {_HOLD_OUT}").drop(_HOLD_OUT), column)
        validate = validation_feed.prepare(drawn.filter(_HOLD_OUT).drop(_HOLD_OUT), None)
        total = drawn.count()
    finally:
        drawn.unpersist()
    rows, held = data.facts.rows, validate.facts.rows
    if rows + held != total:
        raise DataError(f"{total} rows were split into {rows} and {held}; the table changes while it is read")
    return data, validate
