"""Bring a training table to where the fit groups can read it, and hold rows out to validate with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.export import PARQUET, Exported, export
from mlsql_runtime.feed.facts import HOLD_OUT_SEED
from mlsql_runtime.feed.send import Sent, Target, send
from mlsql_runtime.feed.survey import survey
from mlsql_runtime.kafka.run_topic import Owner, group_of, run_topic, settings_of, try_to_remove_run
from mlsql_runtime.live import say
from mlsql_runtime.plan import FileFeed, KafkaFeed, Train
from mlsql_runtime.steps.columns import feature_column
from mlsql_runtime.steps.job import Job
from mlsql_runtime.steps.progress import told
from mlsql_runtime.store.location import Location

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_HOLD_OUT = "__mlsql_held_out"


@dataclass(frozen=True)
class TrainingData:
    """``feature`` is the column that functions will be called with, if the table has it."""

    table: Exported | Sent
    validate: Exported | None
    feature: str | None


Move = Callable[["DataFrame", "str | None"], "Exported | Sent"]


@contextmanager
def training_data(statement: Train, job: Job, stage: Location) -> Iterator[TrainingData]:
    """The statement's data, there for the groups until the block ends.

    :raises DataError: when there is nothing to train on, or the data cannot be brought there.
    """
    begun = time.monotonic()
    with _moved(statement, job, stage) as data:
        rows = data.table.facts.rows
        if rows == 0:
            held = data.validate.facts.rows if data.validate else 0
            why = f": all its {held} rows are held out" if held else " is empty"
            raise DataError(f"the table '{statement.table}'{why}: there is nothing to train on", table=statement.table)
        held_out = f", {data.validate.facts.rows} to validate with" if data.validate else ""
        say(f"train: {rows} rows {_how(statement, data.table)}{held_out} ({time.monotonic() - begun:.1f} s)")
        yield data


def _how(statement: Train, table: Exported | Sent) -> str:
    if isinstance(table, Exported):
        return f"as {table.feed.format} files"
    verb = "in" if isinstance(statement.feed, KafkaFeed) and statement.feed.reuse else "through"
    return f"{verb} topic {table.span.topic} on {table.settings.servers}"


@contextmanager
def _moved(statement: Train, job: Job, stage: Location) -> Iterator[TrainingData]:
    feed = statement.feed
    if isinstance(feed, FileFeed):
        yield _move(statement, job, stage, lambda df, feature: export(df, stage / "data", feed, feature))
    else:
        through_kafka = _reused if feed.reuse else _sent
        with through_kafka(statement, feed, job, stage) as data:
            yield data


@contextmanager
def _sent(statement: Train, feed: KafkaFeed, job: Job, stage: Location) -> Iterator[TrainingData]:
    settings, parallelism = settings_of(feed, job.secrets), job.spark.sparkContext.defaultParallelism
    with run_topic(feed, settings, _owner(statement, job), parallelism) as topic:
        target = Target(settings, topic.name, topic.partitions, topic.max_bytes, topic.run)
        yield _move(statement, job, stage, lambda df, feature: send(df, target, topic.group, feature))


@contextmanager
def _reused(statement: Train, feed: KafkaFeed, job: Job, stage: Location) -> Iterator[TrainingData]:
    settings = settings_of(feed, job.secrets)
    wanted = statement.fit_params[0].get("inputCol", "features")
    try:
        table = survey(settings, feed.topic, group_of(feed, _owner(statement, job)), wanted)
        yield TrainingData(table, _validation(statement, job, stage), feature_column(statement, table.facts.columns))
    finally:
        try_to_remove_run(feed, settings, _owner(statement, job))


def _owner(statement: Train, job: Job) -> Owner:
    return Owner(job.job_id, statement.model_path, len(statement.fit_params))


def _move(statement: Train, job: Job, stage: Location, move: Move) -> TrainingData:
    assert statement.table is not None
    table = job.table(statement.table)
    feature = feature_column(statement, table.columns)
    with told(job.spark, f"train: table {statement.table}"):
        if statement.validate_fraction is not None:
            data, validate = _move_split(table, statement.validate_fraction, move, stage, feature)
            return TrainingData(data, validate, feature)
        data = move(table, feature)
        return TrainingData(data, _validation(statement, job, stage) if data.facts.rows else None, feature)


def _validation(statement: Train, job: Job, stage: Location) -> Exported | None:
    """Validation data are files whatever the transport: each group reads all of them at once."""
    if statement.validate_table is None:
        return None
    return export(job.table(statement.validate_table), stage / "validate", PARQUET, None)


def _move_split(
    table: DataFrame, fraction: float, move: Move, stage: Location, feature: str | None
) -> tuple[Exported | Sent, Exported]:
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
