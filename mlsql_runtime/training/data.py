"""The data of a training run: the table and the validation rows, prepared for its fit groups."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsql_runtime.errors import DataError
from mlsql_runtime.events import log
from mlsql_runtime.feed.files.export import PARQUET, ExportFeed
from mlsql_runtime.feed.interface import Feed, PreparedFiles, PreparedTable
from mlsql_runtime.feed.table_facts import HOLD_OUT_SEED, ColumnRoles, TableFacts
from mlsql_runtime.kafka.run_topic import Owner, client_settings
from mlsql_runtime.plan import FileFeed, Train
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.spark_progress import report_progress
from mlsql_runtime.storage.location import Location
from mlsql_runtime.training.columns import find_roles, name_roles, select_columns
from mlsql_runtime.training.originals import OriginalsFeed
from mlsql_runtime.training.resume import StagedData
from mlsql_runtime.training.stratified import DRAW, HELD, mark_held_out, require_label

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class TrainingData:
    """The table and the validation rows, as the groups of a run read them."""

    table: PreparedTable
    validate: PreparedFiles | None

    @property
    def validate_rows(self) -> int:
        return self.validate.facts.rows if self.validate else 0

    @property
    def facts(self) -> Mapping[str, TableFacts]:
        """The facts of both tables, by what errors call them."""
        facts = {"the training table": self.table.facts}
        return facts if self.validate is None else {**facts, "the validation table": self.validate.facts}

    def check_unchanged(self) -> None:
        """Check that the groups have read what was prepared.

        :raises IntegrityError: when a stored table was changed meanwhile.
        """
        for table in (self.table, self.validate):
            if table is not None:
                table.check_unchanged()

    @property
    def staged(self) -> StagedData:
        return StagedData(table=self.table.identity, validate=self.validate.identity if self.validate else None)


def create_feed(statement: Train, context: RunContext, stage: Location) -> Feed:
    """Return the feed that the statement asks for: the only place that knows which ones there are.

    :raises InputError: when the job lacks the secrets of the Kafka connection.
    """
    if isinstance(statement.feed, FileFeed):
        return OriginalsFeed(ExportFeed(statement.feed, stage / "data"), statement, context, has_json=True)
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
        if held == 0 and statement.validate_fraction is not None:
            log(f"train: no row of {rows} is held out: {statement.validate_fraction:g} of them is less than one row")
        held_out = f", {held} to validate with" if data.validate else ""
        log(f"train: {rows} rows {data.table.describe()}{source}{held_out} ({time.monotonic() - started:.1f} s)")
        yield data
    finally:
        feed.remove()


def _prepare(statement: Train, context: RunContext, feed: Feed, stage: Location, earlier: StagedData | None) -> TrainingData:
    # Validation data are files in any case: each group reads all of them at once.
    validation_feed = OriginalsFeed(ExportFeed(PARQUET, stage / "validate"), statement, context, has_json=False)
    if earlier is not None and (restored := feed.restore(earlier.table)) is not None:
        held = None if earlier.validate is None else validation_feed.restore(earlier.validate)
        if held is not None or earlier.validate is None:
            return TrainingData(restored, held)
    with report_progress(context.spark, f"train: table {statement.table or statement.validate_table}"):
        table = None if statement.table is None else select_columns(statement, context.table(statement.table))
        roles = name_roles(statement) if table is None else find_roles(statement, table.columns)
        validate: PreparedFiles | None = None
        if statement.validate_fraction is not None and table is not None:
            prepared, validate = _hold_out(statement, table, roles, feed, validation_feed.export)
        else:
            prepared = feed.prepare(table, roles)
            if statement.validate_table is not None and prepared.facts.rows:
                validation_table = context.table(statement.validate_table)
                selected = select_columns(statement, validation_table, like=list(prepared.facts.columns))
                validate = validation_feed.prepare(selected, find_roles(statement, selected.columns))
    if earlier is not None and earlier.validate is not None and prepared.identity.is_same_as(earlier.table):
        validate = validation_feed.restore(earlier.validate) or validate
    return TrainingData(prepared, validate)


def _hold_out(
    statement: Train, table: DataFrame, roles: ColumnRoles, feed: Feed, validation_feed: ExportFeed
) -> tuple[PreparedTable, PreparedFiles | None]:
    """Hold rows out at random. The draw is kept while both parts are written, so that no row is in both or in none.

    The rows of a stored table are not written, and chosen by their numbers.
    """
    from pyspark.sql import functions as F

    fraction = statement.validate_fraction or 0.0
    if isinstance(feed, OriginalsFeed):
        if (stored := feed.find_stored(table)) is not None:
            return feed.prepare_parts(stored, roles, fraction)
        feed = feed.export
    drawn = table.withColumn(DRAW, F.rand(HOLD_OUT_SEED)).persist()
    try:
        if statement.stratify:
            marked = mark_held_out(drawn, require_label(statement, roles.label), fraction)
        else:
            marked = drawn.withColumn(HELD, F.col(DRAW) < F.lit(fraction))
        data = feed.prepare(marked.filter(f"not {HELD}").drop(DRAW, HELD), roles)
        validate = validation_feed.prepare(marked.filter(HELD).drop(DRAW, HELD), ColumnRoles(label=roles.label))
        total = drawn.count()
    finally:
        drawn.unpersist()
    rows, held = data.facts.rows, validate.facts.rows
    if rows + held != total:
        raise DataError(f"{total} rows were split into {rows} and {held}; the table changes while it is read")
    return data, validate
