"""Rows through Kafka: ours, raw kafka-python with records of the same size, and row by row with pickle as PythonAlg did it.

``make bench`` runs it against a broker of its own and writes ``benchmarks/results/kafka_transport.md``.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from measure import Timed, interleaved, machine, shown, table

from mlsql_runtime.feed.decoding.matrices import feature_matrix, label_array
from mlsql_runtime.feed.decoding.rows import to_rows
from mlsql_runtime.feed.decoding.vectors import from_serialized
from mlsql_runtime.feed.reader import rebatch
from mlsql_runtime.feed.topic import records as messages
from mlsql_runtime.feed.topic.receive import current_range, receive, records_of
from mlsql_runtime.feed.topic.send import SendTarget, deliver
from mlsql_runtime.feed.topic.table import SentPartition
from mlsql_runtime.kafka.clients import open_admin, open_consumer, open_producer
from mlsql_runtime.kafka.settings import KafkaSettings, parse_settings
from mlsql_runtime.kafka.topics import create_topic, delete_topics

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts" / "jvm"))

RESULTS = Path(__file__).parent / "results" / "kafka_transport.md"
PARTITIONS = 1
BATCH = 1000  # rows that a script asks for
PICKLED_ROWS = 10_000  # of the table; by then it is known how slow that is


def sparse_rows(count: int) -> pa.Table:
    """Return rows 692 wide with 150 values from 0 to 255, like Spark's sample data."""
    random = np.random.default_rng(0)
    indices = [np.sort(random.choice(692, 150, replace=False)).tolist() for _ in range(1000)]
    values = random.integers(0, 256, (1000, 150)).astype(float).tolist()
    block = from_serialized([(0, 692, *row) for row in zip(indices, values, strict=True)])
    return pa.table({"label": np.arange(count) % 2.0, "features": pa.chunked_array([block] * (count // 1000))}).combine_chunks()


def dense_rows(count: int) -> pa.Table:
    """Return rows 20 wide."""
    numbers = np.random.default_rng(0).random((count, 20)).tolist()
    return pa.table({"label": np.arange(count) % 2.0, "features": from_serialized([(1, None, None, row) for row in numbers])})


class Bench:
    """One table and the topics it is sent to."""

    def __init__(self, settings: KafkaSettings, rows: pa.Table, name: str) -> None:
        self.settings, self.name = settings, name
        self.table = rows
        self.batches = rows.to_batches(max_chunksize=10_000)
        limit = SendTarget(settings, "", PARTITIONS, 8 << 20, "run").record_bytes
        self.records = [bytes(content) for batch in self.batches for content, _ in messages.encode(batch, limit)]
        self.pickled = [pickle.dumps(row) for row in to_rows(rows.slice(0, PICKLED_ROWS))]
        self._count = 0

    @property
    def megabytes(self) -> float:
        return sum(map(len, self.records)) / 1e6

    def new_topic(self) -> str:
        self._count += 1
        topic = f"{self.name}-{self._count}"
        with open_admin(self.settings) as admin:
            create_topic(admin, topic, partitions=PARTITIONS, configs={"max.message.bytes": str(8 << 20)})
            if self._count > 1:
                delete_topics(admin, [f"{self.name}-{self._count - 1}"])
        return topic

    def send_ours(self, topic: str) -> list[SentPartition]:
        """Send with our code; encoding is included."""
        target = SendTarget(self.settings, topic, PARTITIONS, 8 << 20, "run")
        parts = []
        for partition in range(PARTITIONS):
            stamps = [stamp for _, stamp in deliver(self.batches[partition::PARTITIONS], target, partition, 1, partition)]
            rows = sum(stamp.rows for stamp in stamps)
            parts.append(SentPartition(run="run", partition=partition, attempt=1, records=len(stamps), rows=rows))
        return parts

    def send_raw(self, topic: str) -> None:
        """Send the same records, encoded before the clock starts: send all, then flush."""
        with open_producer(self.settings) as producer:
            for number, record in enumerate(self.records):
                producer.send(topic, record, partition=number % PARTITIONS)
            producer.flush()

    def send_pickled(self, topic: str) -> None:
        with open_producer(self.settings) as producer:
            for number, row in enumerate(to_rows(self.table.slice(0, PICKLED_ROWS))):
                producer.send(topic, pickle.dumps(row), partition=number % PARTITIONS)
            producer.flush()

    def read_records(self, topic: str, take: Callable[[Any], object]) -> None:
        """Read with kafka-python alone, with its own settings."""
        from kafka import TopicPartition

        span = current_range(self.settings, topic)
        partitions = [TopicPartition(topic, number) for number in span.ends]
        with open_consumer(self.settings) as consumer:
            consumer.assign(partitions)
            for each in partitions:
                consumer.seek(each, 0)
            while any(consumer.position(each) < span.ends[each.partition] for each in partitions):
                for records in consumer.poll(timeout_ms=500).values():
                    for record in records:
                        take(record.value)

    def read_ours(self, topic: str, parts: list[SentPartition]) -> None:
        """Read Arrow batches."""
        rows = sum(batch.num_rows for batch in receive(self.settings, current_range(self.settings, topic), "readers_0", parts))
        assert rows == self.table.num_rows

    def matrices_ours(self, topic: str, parts: list[SentPartition]) -> None:
        """Read matrices, as ``mlsql.read_batches`` returns them."""
        for each in rebatch(receive(self.settings, current_range(self.settings, topic), "readers_0", parts), BATCH):
            feature_matrix(each, "features")
            label_array(each, "label")

    def matrices_pickled(self, topic: str) -> None:
        """Read as in PythonAlg's manual: a pickled row in each record, lists of arrays for each batch."""
        rows: list[Any] = []

        def take(content: bytes) -> None:
            rows.append(pickle.loads(content))
            if len(rows) == BATCH:
                np.array([row["features"].toArray() for row in rows])
                np.array([row["label"] for row in rows])
                rows.clear()

        self.read_records(topic, take)

    def idle(self, topic: str, parts: list[SentPartition]) -> float:
        """Return seconds between the last row and the end."""
        last = time.perf_counter()
        for _ in receive(self.settings, current_range(self.settings, topic), "readers_0", parts):
            last = time.perf_counter()
        return time.perf_counter() - last


def sending(bench: Bench) -> dict[str, Timed]:
    """Measure sending; each run has a new topic."""
    ways = {"ours": bench.send_ours, "raw": bench.send_raw, "pickled": bench.send_pickled}
    took = interleaved(ways, prepare=bench.new_topic)
    return took | {"pickled": _of_all(bench, took["pickled"])}


def reading(bench: Bench) -> tuple[dict[str, Timed], float]:
    """Measure reading, each run from the same topics, and how long the end of a feed takes."""
    topic, raw_topic, pickled_topic = bench.new_topic(), f"{bench.name}-raw", f"{bench.name}-pickled"
    with open_admin(bench.settings) as admin:
        for name in (raw_topic, pickled_topic):
            create_topic(admin, name, partitions=PARTITIONS)
    parts = bench.send_ours(topic)
    bench.send_raw(raw_topic)
    bench.send_pickled(pickled_topic)
    took = interleaved(
        {
            "raw": lambda _: bench.read_records(raw_topic, len),
            "ours": lambda _: bench.read_ours(topic, parts),
            "matrices": lambda _: bench.matrices_ours(topic, parts),
            "pickled": lambda _: bench.matrices_pickled(pickled_topic),
        }
    )
    idle = max(bench.idle(topic, parts) for _ in range(3))
    return took | {"pickled": _of_all(bench, took["pickled"])}, idle


def read_parts(bench: Bench) -> dict[str, float]:
    """Seconds of what ``read_batches`` does, one after the other: medians of interleaved rounds, each less the one before."""
    topic = bench.new_topic()
    parts = bench.send_ours(topic)
    span = current_range(bench.settings, topic)
    took = interleaved(
        {
            "records from the broker (kafka-python)": lambda _: [None for _ in records_of(bench.settings, span, "readers_0")],
            "decompressed, as Arrow batches": lambda _: bench.read_ours(topic, parts),
            "as matrices": lambda _: bench.matrices_ours(topic, parts),
        }
    )
    done, split = 0.0, {}
    for name, timed in took.items():
        split[name], done = timed.median - done, timed.median
    return split


def _of_all(bench: Bench, some: Timed) -> Timed:
    """Return the time for all rows, estimated from that of the first ones."""
    rows = bench.table.num_rows
    return Timed(tuple(each * rows / min(PICKLED_ROWS, rows) for each in some.seconds))


def _lines(bench: Bench, sent: dict[str, Timed], read: dict[str, Timed]) -> list[list[str]]:
    def line(what: str, took: Timed, of_raw: str = "", of_pickled: str = "") -> list[str]:
        rows = bench.table.num_rows
        return [bench.name, what, f"{rows / took.median:,.0f}", f"{bench.megabytes / took.median:,.0f}", of_raw, of_pickled]

    ours, pickled = sent["ours"] + read["matrices"], sent["pickled"] + read["pickled"]
    matrices = read["matrices"]
    return [
        line("send", sent["ours"], shown(sent["ours"].ratio(sent["raw"])), shown(sent["ours"].ratio(sent["pickled"]))),
        line("send, raw kafka-python", sent["raw"]),
        line("send, row by row with pickle", sent["pickled"]),
        line("read as Arrow batches", read["ours"], shown(read["ours"].ratio(read["raw"]))),
        line(
            "read as matrices (read_batches)",
            matrices,
            shown(matrices.ratio(read["raw"])),
            shown(matrices.ratio(read["pickled"])),
        ),
        line("read, raw kafka-python", read["raw"]),
        line("read as matrices, row by row with pickle", read["pickled"]),
        line("send, then read as matrices", ours, "", shown(ours.ratio(pickled))),
        line("the same, row by row with pickle", pickled),
    ]


def main() -> None:
    """Measure, print, and write the results."""
    from broker import BrokerProcess

    lines, idle = [], 0.0
    with tempfile.TemporaryDirectory() as folder, BrokerProcess(Path(folder)) as process:
        settings = parse_settings({"bootstrap.servers": process.broker.bootstrap}, "the benchmark")
        for name, rows in (("sparse-692", sparse_rows(120_000)), ("dense-20", dense_rows(600_000))):
            bench = Bench(settings, rows, name)
            sent = sending(bench)
            read, waited = reading(bench)
            lines += _lines(bench, sent, read)
            idle = max(idle, waited)
    text = f"""# Rows through Kafka

{machine("kafka-python", "pyarrow", "numpy")}; one process, one broker on the same machine, one partition.
Medians of five rounds, interleaved; ratios of the rounds with their range. Records are the same for ours and raw; MB/s counts
their bytes, as they are on the wire. Pickle takes {PICKLED_ROWS:,} of the rows, its time is scaled to all of them.
`make bench` makes this page.

{table(["table", "what", "rows/s", "MB/s", "times raw kafka-python", "times pickled rows"], lines)}
From the last row to the end of the feed: {idle:.3f} s at most.
"""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
