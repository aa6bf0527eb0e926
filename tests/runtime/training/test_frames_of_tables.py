"""Frames of Spark's tables, of every type, and of scikit-learn's: through files, through Kafka, and as ``mlsql fit`` has them."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from hypothesis import Phase, example, given, settings
from support import frames
from support.training import train_result, trained
from support.workbench import RunPlan, Script

from mlsql_runtime.feed.decoding.frames import read_frame
from mlsql_runtime.feed.files.export import ExportFeed
from mlsql_runtime.feed.interface import Feed
from mlsql_runtime.feed.table_facts import ColumnRoles
from mlsql_runtime.feed.topic.feed import TopicFeed
from mlsql_runtime.kafka.run_topic import Owner
from mlsql_runtime.local.arrow_tables import read_table, write_table
from mlsql_runtime.local.data_source import DataSource
from mlsql_runtime.plan import FileFeed, KafkaFeed, Load
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from mlsql_runtime.kafka.settings import KafkaSettings

SCHEMA = ", ".join(f"c{place} {name}" for place, name in enumerate(frames.TYPES))


@pytest.fixture(scope="module")
def berlin(spark: SparkSession) -> Iterator[SparkSession]:
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", frames.ZONE)
    yield spark
    spark.conf.set("spark.sql.session.timeZone", before)


def frame_of(feed: Feed, table: DataFrame, folder: Path) -> pd.DataFrame:
    """Return the frame that a script reads of a table that a feed brings."""
    try:
        private = folder / "private"
        private.mkdir()
        return read_frame(feed.prepare(table, ColumnRoles()).open(folder / "data", False, private, 0), (), None)
    finally:
        feed.remove()


@given(frames.rows(min_size=8, max_size=12))
@example([])
@settings(max_examples=2, phases=[Phase.explicit, Phase.generate])  # to shrink an example would take minutes
def test_every_type_of_spark_arrives_as_documented(
    berlin: SparkSession, kafka_settings: KafkaSettings, rows: list[dict[str, Any]]
) -> None:
    table = berlin.createDataFrame([tuple(row[f"c{place}"] for place in range(len(row))) for row in rows], SCHEMA).coalesce(1)
    topic = f"frames-{uuid.uuid4().hex[:8]}"
    feeds = {
        "files": lambda folder: ExportFeed(FileFeed(), Location.of(str(folder / "exported"))),
        "kafka": lambda folder: TopicFeed(
            KafkaFeed(topic=topic, settings=kafka_settings.public), kafka_settings, Owner("job", "/m", 1)
        ),
    }
    for name, make in feeds.items():
        with tempfile.TemporaryDirectory() as folder:
            frames.assert_as_documented(frame_of(make(Path(folder)), table, Path(folder)), rows), name
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environment:
        environment.setenv("TZ", frames.ZONE)
        table.write.parquet(f"{folder}/t")
        local = read_table(DataSource("--data", "parquet", f"{folder}/t"))
        frames.assert_as_documented(read_frame(write_table(local, Path(folder) / "data", None), (), None), rows)


KEEP = """
import mlsql, mlsql_model
frame = mlsql.all_frame()
assert frame.equals(__import__("pandas").concat(mlsql.read_frames(40), ignore_index=True))
frame.to_pickle(mlsql_model.model_dir() + "/frame.pickle")
mlsql.get_validate_frame().to_pickle(mlsql_model.model_dir() + "/held.pickle")
"""


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_tables_of_scikit_learn_are_the_same_frames_from_files_and_kafka(
    run_plan: RunPlan, tmp_path: Path, script: Script, kafka_settings: KafkaSettings, name: str
) -> None:
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")(as_frame=True)
    source: pd.DataFrame = data.frame
    if "target_names" in data:  # as text
        source["target"] = [str(data.target_names[place]) for place in source["target"]]
    source.to_parquet(tmp_path / "table.parquet", index=False)
    load = Load(table="t", format="parquet", path=str(tmp_path / "table.parquet"))
    kafka = KafkaFeed(topic=f"{name}-{uuid.uuid4().hex[:8]}", settings=kafka_settings.public)
    columns = tuple(reversed(data.feature_names))
    statements = [
        trained(
            tmp_path / way,
            table="t",
            script_path=script(KEEP),
            feature_columns=columns,
            label_column="target",
            feed=feed,
            validate_table="t",
        )
        for way, feed in (("files", FileFeed()), ("kafka", kafka))
    ]
    assert train_result(run_plan(load, *statements)).rows == len(source)
    for way in ("files", "kafka"):
        for part in ("frame", "held"):
            frame = pd.read_pickle(tmp_path / way / f"_model_1/model/0/{part}.pickle")
            pd.testing.assert_frame_equal(frame, source[[*columns, "target"]], check_exact=True)
