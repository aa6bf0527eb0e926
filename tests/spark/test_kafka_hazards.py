"""What goes wrong on the way: tasks that die or run twice, a broker that is killed. Every row once, or a clear error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from support.kafka import names_with
from support.workbench import TESTS, RunPlan, Script

from mlsql_runtime.feed.topic.receive import current_range
from mlsql_runtime.kafka.settings import parse_settings
from mlsql_runtime.plan import KafkaFeed, Select, Train
from mlsql_runtime.result import RunResult, TrainResult

if TYPE_CHECKING:
    from broker import Broker, BrokerProcess
    from pyspark.sql import SparkSession
    from support.cluster import Cluster

READ = """
import mlsql, mlsql_model, os, time
folder, rows, total = mlsql.fit_param["folder"], 0, 0
for batch in mlsql.read_data()(max_records=1000):
    if rows == 0:
        open(folder + "/reading", "w").close()
        while not os.path.exists(folder + "/go on"):
            time.sleep(0.05)
    rows, total = rows + len(batch), total + sum(row["id"] for row in batch)
mlsql.report(rows=rows, sum=total)
mlsql_model.sk_save_model(0)
"""
ROWS, BATCHES = 5000, 20


@pytest.fixture
def patience() -> int:
    """Seconds without a broker; on a busy machine it takes a while to come back."""
    return 60


@pytest.fixture
def pause() -> float:
    """Seconds until the next batch of the table."""
    return 0


@pytest.fixture
def train(
    run_plan: RunPlan,
    spark: SparkSession,
    mortal_broker: BrokerProcess,
    tmp_path: Path,
    script: Script,
    patience: int,
    pause: float,
) -> Iterator[threading.Thread]:
    """Trains in a thread, on a table of 20 MB; ``results`` has what comes of it."""

    def slow(_: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:  # a function in a function goes to workers by value
        for number in range(BATCHES):
            time.sleep(pause)
            ids = range(number * ROWS, (number + 1) * ROWS)
            yield pa.record_batch({"id": pa.array(ids, pa.int64()), "text": [os.urandom(100).hex() for _ in ids]})

    spark.range(0, 1, 1, 1).mapInArrow(slow, "id bigint, text string").createOrReplaceTempView("slow")
    settings = parse_settings(
        {"bootstrap.servers": mortal_broker.broker.bootstrap, "delivery.timeout.ms": 1000 * patience}, "the test"
    )
    statement = Train(
        table="rows",
        model_path=str(tmp_path / "m"),
        script_path=script(READ),
        fit_params=({"folder": str(tmp_path)},),
        feed=KafkaFeed(topic=tmp_path.name, settings=settings.public),
    )
    results: list[RunResult] = []
    rows = Select(table="rows", sql="select * from slow")
    thread = threading.Thread(target=lambda: results.append(run_plan(rows, statement)))
    thread.results = results  # type: ignore[attr-defined]
    yield thread
    (tmp_path / "go on").touch()
    thread.join()
    spark.catalog.dropTempView("slow")


def wait_for(path: Path, train: threading.Thread) -> None:
    while not path.exists():
        assert train.is_alive(), train.results[0].error  # type: ignore[attr-defined]
        time.sleep(0.05)


def finished(train: threading.Thread) -> RunResult:
    train.join()
    [result] = train.results  # type: ignore[attr-defined]
    return result


def assert_every_row_was_read(result: RunResult) -> None:
    result.raise_for_error()
    trained = result.steps[-1]
    assert isinstance(trained, TrainResult)
    count = ROWS * BATCHES
    assert trained.rows == count
    assert dict(trained.fits[0].metrics) == {"rows": float(count), "sum": float(count * (count - 1) // 2)}


def test_tasks_that_die_half_way_or_run_twice(broker: Broker, cluster: Cluster, tmp_path: Path) -> None:
    program = str(TESTS / "spark" / "hazards" / "failing_tasks.py")
    env = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [sys.executable, program, cluster.url, broker.bootstrap, str(tmp_path)]  # copies go to another host
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    count = 4 * 6 * 5000
    assert told["rows"] == count
    assert told["seen"] == {"rows": count, "different": count, "sum": count * (count - 1) / 2}
    assert told["attempts"] >= 4 + 3  # what the three unlucky attempts had sent is in the topic, and nobody read it


@pytest.mark.parametrize("pause", [0.2])
def test_a_broker_killed_and_restarted_while_rows_are_sent(
    train: threading.Thread, mortal_broker: BrokerProcess, tmp_path: Path
) -> None:
    (tmp_path / "go on").touch()
    train.start()
    settings = parse_settings({"bootstrap.servers": mortal_broker.broker.bootstrap}, "the test")
    while not (topics := names_with(settings, f"{tmp_path.name}_")) or not any(current_range(settings, topics[0]).ends.values()):
        assert train.is_alive(), train.results[0].error  # type: ignore[attr-defined]
    mortal_broker.kill()
    time.sleep(1)
    mortal_broker.start()
    assert_every_row_was_read(finished(train))


def test_a_broker_killed_and_restarted_while_a_script_reads(
    train: threading.Thread, mortal_broker: BrokerProcess, tmp_path: Path
) -> None:
    train.start()
    wait_for(tmp_path / "reading", train)
    mortal_broker.kill()
    (tmp_path / "go on").touch()
    time.sleep(1)
    mortal_broker.start()
    assert_every_row_was_read(finished(train))


@pytest.mark.parametrize("patience", [8])
def test_a_broker_that_does_not_come_back_while_a_script_reads(
    train: threading.Thread, mortal_broker: BrokerProcess, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train.start()
    wait_for(tmp_path / "reading", train)
    mortal_broker.kill()
    (tmp_path / "go on").touch()
    error = finished(train).error
    assert error is not None
    assert error["kind"] == "TrainingFailed"
    assert f"on {mortal_broker.broker.bootstrap}, partition 0: nothing arrived for 8 s (delivery.timeout.ms)" in error["message"]
    assert "remove them by hand" in capfd.readouterr().out
