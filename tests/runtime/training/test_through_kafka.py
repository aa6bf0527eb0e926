"""Training through Kafka, on a real broker: the same rows as through files, and nothing left behind."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.kafka import names_with
from support.workbench import RunPlan, Script

from mlsql_runtime.kafka.clients import open_admin, open_producer
from mlsql_runtime.kafka.topics import create_topic, delete_topics
from mlsql_runtime.plan import FileFeed, KafkaFeed, Register, Select, Train
from mlsql_runtime.result import TrainResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.sources import Source
from mlsql_runtime.store.versions import read_manifest

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
case when id % 5 = 0 then null else concat(repeat('w', 80), id) end as word from range(0, {rows}, 1, 6) where id {where}
"""
LARGE = Select(table="rows", sql=MANY.format(rows=20_000, where=">= 0"))  # of which a partition takes several records


@pytest.fixture
def prefix() -> str:
    """What the names of all topics and groups of a test begin with: the broker serves other tests, too."""
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def feed(kafka_settings: KafkaSettings, prefix: str) -> KafkaFeed:
    return KafkaFeed(topic=prefix, settings=kafka_settings.public)


@pytest.fixture
def names(kafka_settings: KafkaSettings, prefix: str) -> Callable[[], list[str]]:
    """Return the topics and groups of this test that exist."""
    return lambda: names_with(kafka_settings, prefix)


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
        pytest.param(HUNDRED, (1, 64, 1000, 101), id="100 rows"),
        pytest.param(HUNDRED, (64,), id="one group"),
        pytest.param(LARGE, (1, 64, 1000, 20_001), id="20000 rows"),
        pytest.param(LARGE, (1000,), id="20000 rows, one group"),
        pytest.param(
            Select(table="rows", sql=MANY.format(rows=6000, where="between 2000 and 3000")), (7,), id="empty partitions"
        ),
    ],
)
def test_the_same_rows_in_the_same_batches_as_through_files(
    run_plan: RunPlan,
    tmp_path: Path,
    script: Script,
    feed: KafkaFeed,
    names: Callable[[], list[str]],
    table: Select,
    sizes: tuple[int, ...],
) -> None:
    groups = tuple({"batchSize": str(size)} for size in sizes)
    files, kafka = (
        result_of(run_plan(table, trained(tmp_path / name, script(LOOK), way, fit_params=groups)))
        for name, way in (("files", FileFeed(format="parquet")), ("kafka", feed))
    )
    assert [dict(fit.metrics) for fit in kafka.fits] == [dict(fit.metrics) for fit in files.fits]
    assert (kafka.rows, kafka.score) == (files.rows, files.score)
    for size, fit in zip(sizes, kafka.fits, strict=True):
        assert (fit.metrics["rows"], fit.metrics["most"]) == (files.rows, min(size, files.rows))
    assert names() == []


EVERY_WAY = """
import mlsql, mlsql_model
X, y = mlsql.all_data()
dense, _ = mlsql.sklearn_all_data()
batches = [(part.shape[0], part.format) for part, _ in mlsql.read_batches(30)]
seen = []
mlsql.sklearn_batch_data(lambda X, y, label_size: seen.append((X.shape, len(y), label_size)))
held = mlsql.get_validate_data()
for found, expected in [
    (X.shape, (100, 692)),
    (float(X.sum()), 2434190.0),
    (float(dense.sum()), 2434190.0),
    (batches, [(30, "csr"), (30, "csr"), (30, "csr"), (10, "csr")]),
    (seen, [((100, 692), 100, -1)]),
    (held[0].shape, (100, 692)),
    (sorted(mlsql.kafka_param), ["bootstrap.servers", "group_id", "topic"]),
]:
    if found != expected:
        raise SystemExit(f"found {found}, expected {expected}")
mlsql_model.sk_save_model(1)
print("mlsql_validation_score:1")
"""


def test_every_reading_function_and_functions_made_from_the_model(
    run_plan: RunPlan, tmp_path: Path, script: Script, feed: KafkaFeed
) -> None:
    train = trained(tmp_path / "m", script(EVERY_WAY), feed, table="data", validate_table="data")
    predict = script("import python_fun\npython_fun.udf(lambda index, s: [(1, None, None, [1.0])])", "predict.py")
    register = Register(model_path=str(tmp_path / "m"), function="one", script_path=predict)
    outcome = run_plan(train, register)
    outcome.raise_for_error()
    assert read_manifest(Location.of(str(tmp_path / "m"))).data.feature_width == 692


def test_rows_held_out_are_not_sent(run_plan: RunPlan, tmp_path: Path, script: Script, feed: KafkaFeed) -> None:
    source = """
import mlsql, mlsql_model
mlsql.report(rows=len(mlsql.all_data()[1]), held=len(mlsql.get_validate_data()[1]))
mlsql_model.sk_save_model(1)
"""
    result = result_of(run_plan(trained(tmp_path / "m", script(source), feed, table="data", validate_fraction=0.3)))
    metrics = result.fits[0].metrics
    assert metrics["rows"] + metrics["held"] == 100
    assert metrics["rows"] == result.rows < 100


FAILING = """
import mlsql
group = mlsql.internal_system_param["algIndex"]
if group == "0":
    raise ValueError("no luck")
if group == "1":
    mlsql.internal_system_param["tempDataLocalPath"]
next(mlsql.read_data()(5))
raise ValueError("half-way")
"""


def test_failing_scripts_leave_no_topic_and_no_group(
    run_plan: RunPlan, tmp_path: Path, script: Script, feed: KafkaFeed, names: Callable[[], list[str]]
) -> None:
    error = run_plan(trained(tmp_path / "m", script(FAILING), feed, table="data", fit_params=({}, {}, {}))).error
    assert error is not None
    assert error["kind"] == "TrainingFailed"
    _, first, second, third = error["message"].split("group ")
    assert "no luck" in first
    assert "there is no tempDataLocalPath, because the data come" in second
    assert "half-way" in third
    assert names() == []


DIGESTS = "transform(sequence(1, 145000), i -> sha2(string(i), 256))"  # 64 characters that do not compress, each


def test_an_empty_table_and_one_with_a_giant_row(
    run_plan: RunPlan, tmp_path: Path, script: Script, feed: KafkaFeed, names: Callable[[], list[str]]
) -> None:
    empty = run_plan(
        Select(table="rows", sql="select * from data where label > 5"), trained(tmp_path / "m", script("pass"), feed)
    )
    giant = run_plan(
        Select(table="rows", sql=f"select array_join({DIGESTS}, '') as text"), trained(tmp_path / "m", script("pass"), feed)
    )
    assert (empty.error or {})["kind"] == "DataError"
    assert "'rows' is empty" in (empty.error or {})["message"]
    assert (giant.error or {})["kind"] == "KafkaRefused"
    assert "a row of the table takes 9" in (giant.error or {})["message"]
    assert not (tmp_path / "m").exists()
    assert names() == []


def test_a_kept_topic_can_be_trained_from_again(
    run_plan: RunPlan,
    tmp_path: Path,
    script: Script,
    feed: KafkaFeed,
    names: Callable[[], list[str]],
    kafka_settings: KafkaSettings,
) -> None:
    groups = ({"batchSize": "64"},)
    first = result_of(run_plan(HUNDRED, trained(tmp_path / "m", script(LOOK), replace(feed, keep=True), fit_params=groups)))
    [topic] = names()
    again = KafkaFeed(topic=topic, settings=feed.settings, reuse=True)
    outcome = run_plan(trained(tmp_path / "m", script(LOOK), again, table=None, fit_params=groups), collect_lineage=True)
    second = result_of(outcome)
    assert [each.uri for each in outcome.lineage.inputs] == [f"kafka://{feed.settings['bootstrap_servers']}/{topic}"]
    assert dict(second.fits[0].metrics) == dict(first.fits[0].metrics)
    assert names() == [topic]
    with open_admin(kafka_settings) as admin:
        delete_topics(admin, [topic])


def test_a_topic_of_another_producer_is_trained_from_and_left_as_it_is(
    run_plan: RunPlan, tmp_path: Path, script: Script, kafka_settings: KafkaSettings, prefix: str, names: Callable[[], list[str]]
) -> None:
    with open_admin(kafka_settings) as admin:
        create_topic(admin, prefix, partitions=3)
    with open_producer(kafka_settings) as producer:
        for number in range(100):
            row = {"label": number % 2, "features": {"type": 1, "values": [number, 1.0]}}
            producer.send(prefix, json.dumps(row).encode(), partition=number % 3).get(timeout=10)
    source = """
import mlsql, mlsql_model
X, y = mlsql.all_data()
mlsql.report(rows=len(y), total=X.sum(), labels=y.sum())
mlsql_model.sk_save_model(1)
"""
    feed = KafkaFeed(topic=prefix, settings=kafka_settings.public, reuse=True)
    result = result_of(run_plan(trained(tmp_path / "m", script(source), feed, table=None)))
    assert dict(result.fits[0].metrics) == {"rows": 100.0, "total": 4950.0 + 100, "labels": 50.0}
    manifest = read_manifest(Location.of(str(tmp_path / "m")))
    facts = manifest.data
    assert (facts.rows, facts.feature_width, facts.feature_column) == (100, 2, "features")
    offsets = {"0": (0, 34), "1": (0, 33), "2": (0, 33)}
    assert manifest.sources == (Source(table=prefix, kind="topic", path=kafka_settings.servers, offsets=offsets),)
    assert names() == [prefix]
    missing = run_plan(
        trained(tmp_path / "m", script("import mlsql\nmlsql.all_data()"), feed, table=None, fit_params=({"inputCol": "x"},))
    )
    assert f"topic '{prefix}' has no column 'x'" in (missing.error or {})["message"]
    with open_admin(kafka_settings) as admin:
        delete_topics(admin, [prefix])


ODD = """
select timestamp '2026-11-22 10:00:00' as `when`, date '2026-01-01' as day, cast(1.25 as decimal(10, 2)) as price, x'00ff' as raw,
map('a', 1) as counts, named_struct('x', 1, 'y', array('p', null)) as nested, label as `my.label`, features as `fea``tures`,
cast(null as string) as nothing from data limit 20
"""
SHOW = """
import hashlib
import mlsql, mlsql_model
rows = [row for rows in mlsql.read_data()(7) for row in rows]
shown = sorted(repr(sorted(row.asDict().items())) for row in rows)
digest = int.from_bytes(hashlib.blake2b("".join(shown).encode(), digest_size=6).digest(), "big")
print(shown[0])
mlsql.report(rows=len(rows), digest=digest)
mlsql_model.sk_save_model(1)
"""


def test_every_type_and_odd_names_are_as_in_parquet_files(
    run_plan: RunPlan, tmp_path: Path, script: Script, feed: KafkaFeed
) -> None:
    table = Select(table="rows", sql=ODD)
    groups = ({"inputCol": "fea`tures"},)
    files, kafka = (
        result_of(run_plan(table, trained(tmp_path / name, script(SHOW), way, fit_params=groups)))
        for name, way in (("files", FileFeed(format="parquet")), ("kafka", feed))
    )
    assert files.rows == 20
    assert dict(kafka.fits[0].metrics) == dict(files.fits[0].metrics)


def test_columns_of_one_name_are_refused(run_plan: RunPlan, tmp_path: Path, script: Script, feed: KafkaFeed) -> None:
    error = run_plan(
        Select(table="rows", sql="select label, label * 2 as Label from data"), trained(tmp_path / "m", script("1"), feed)
    ).error
    assert error is not None
    assert error["kind"] == "DataError"
    assert "more than one column 'label'" in error["message"]


def test_a_table_without_rows_does_not_wait_for_any(
    run_plan: RunPlan, tmp_path: Path, script: Script, feed: KafkaFeed, names: Callable[[], list[str]]
) -> None:
    """kafka-python#1363, kafka-python#2346: a consumer of an empty topic waits for ever."""
    source = "import mlsql, mlsql_model; mlsql_model.sk_save_model(len(list(mlsql.read_data()())))"
    none = Select(table="rows", sql="select * from data where label > 9")
    through_files, through_kafka = (run_plan(none, trained(tmp_path / "m", script(source), way)) for way in (FileFeed(), feed))
    assert (through_files.error is None) == (through_kafka.error is None)
    if through_kafka.error is not None:
        assert through_files.error is not None
        assert through_kafka.error["message"] == through_files.error["message"]
    assert names() == []


def test_a_row_that_is_larger_than_a_record_fails_the_training(
    run_plan: RunPlan, tmp_path: Path, script: Script, feed: KafkaFeed, names: Callable[[], list[str]]
) -> None:
    """kafka-python#841, kafka-python#2426: the client dropped it without an error."""
    text = "array_join(transform(sequence(1, 10000), i -> sha2(cast(i as string), 256)), '')"  # which is hard to compress
    wide = Select(table="rows", sql=f"select label, features, if(label = 1, {text}, 'y') as word from data")
    feed = replace(feed, topic_configs={"max.message.bytes": "100000"})
    error = run_plan(wide, trained(tmp_path / "m", script(LOOK), feed, fit_params=({"batchSize": "10"},))).error
    assert error is not None
    assert "raise topic.max.message.bytes" in error["message"]
    assert not (tmp_path / "m/_model_1").exists()
    assert names() == []
