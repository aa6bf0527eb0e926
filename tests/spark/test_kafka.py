"""Training through Kafka, on a real broker: the same rows as through files, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.workbench import Run, Script

from mlsql_runtime.kafka.clients import open_admin
from mlsql_runtime.plan import FileFeed, KafkaFeed, Select, Train
from mlsql_runtime.result import TrainResult

if TYPE_CHECKING:
    from mlsql_runtime.kafka.settings import KafkaSettings

# What a script saw, whatever the order: how many rows, in which batches, and a sum over the digests of all rows.
LOOK = """
import hashlib, pickle
import mlsql, mlsql_model

size = int(mlsql.fit_param["batchSize"])
rows = total = last = 0
lengths = set()
for batch in mlsql.read_data()(max_records=size):
    lengths.add(len(batch))
    rows, last = rows + len(batch), len(batch)
    for row in batch:
        told = repr([row["label"], row["features"], row["word"]]).encode()
        total += int.from_bytes(hashlib.blake2b(told, digest_size=5).digest(), "big")
mlsql.report(rows=rows, most=max(lengths), kinds=len(lengths), last=last, digest=total % 2**52)
print("mlsql_validation_score:%d" % (total % 1000))
mlsql_model.sk_save_model(0)
"""
WORDS = "label, features, concat('w', cast(label as string)) as word"
HUNDRED = Select(table="rows", sql=f"select {WORDS} from data")
MANY = """
select /*+ REPARTITION(3) */ cast(id % 2 as double) as label, array(double(id), double(id % 7), rand(3)) as features,
case when id % 5 = 0 then null else concat('w', id) end as word from range(0, {rows}, 1, 6) where id {where}
"""


@pytest.fixture
def feed(kafka_settings: KafkaSettings) -> KafkaFeed:
    return KafkaFeed(topic="test", settings=kafka_settings.public)


@pytest.fixture
def names(kafka_settings: KafkaSettings) -> Any:
    """The topics and groups that there are, those of brokers excepted."""

    def look() -> tuple[set[str], set[str]]:
        with open_admin(kafka_settings) as admin:
            topics = {name for name in admin.list_topics() if not name.startswith("__")}
            return topics, {group["group_id"] for group in admin.list_groups()}

    return look


def trained(path: Path, script_path: str, feed: FileFeed | KafkaFeed, **fields: Any) -> Train:
    return Train(**{"table": "rows", "model_path": str(path), "script_path": script_path, "feed": feed} | fields)


def result_of(outcome: Any) -> TrainResult:
    outcome.raise_for_error()
    result = outcome.steps[-1]
    assert isinstance(result, TrainResult)
    return result


@pytest.mark.parametrize(
    ("table", "sizes"),
    [
        pytest.param(HUNDRED, (1, 64, 1000), id="100 rows"),
        pytest.param(HUNDRED, (64,), id="one group"),
        pytest.param(Select(table="rows", sql=MANY.format(rows=300_000, where=">= 0")), (1, 64, 1000, 300_001), id="300000 rows"),
        pytest.param(
            Select(table="rows", sql=MANY.format(rows=6000, where="between 2000 and 3000")), (7,), id="empty partitions"
        ),
    ],
)
def test_the_same_rows_in_the_same_batches_as_through_files(
    run: Run, tmp_path: Path, script: Script, feed: KafkaFeed, names: Any, table: Select, sizes: tuple[int, ...]
) -> None:
    before = names()
    groups = tuple({"batchSize": str(size)} for size in sizes)
    files, kafka = (
        result_of(run(table, trained(tmp_path / name, script(LOOK), way, fit_params=groups)))
        for name, way in (("files", FileFeed(format="parquet")), ("kafka", feed))
    )
    assert [dict(fit.metrics) for fit in kafka.fits] == [dict(fit.metrics) for fit in files.fits]
    assert (kafka.rows, kafka.score) == (files.rows, files.score)
    for size, fit in zip(sizes, kafka.fits, strict=True):
        assert (fit.metrics["rows"], fit.metrics["most"]) == (files.rows, min(size, files.rows))
    assert names() == before
