"""Memory of sender and reader does not grow with the table: each moves 120 MB in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from mlsql_runtime.kafka.clients import open_admin
from mlsql_runtime.kafka.topics import create_topic, delete_topics

if TYPE_CHECKING:
    from broker import Broker

    from mlsql_runtime.kafka.settings import KafkaSettings

MEGABYTES = 120
LIMIT = 60  # a sender's 16 records and the client's buffers; a reader's fetches of 4 MiB, on the wire and taken apart

PROGRAM = f"""
import json, sys
import numpy as np, pyarrow as pa
from mlsql_runtime.feed.decoding.frames import to_frame
from mlsql_runtime.feed.reader import rebatch
from mlsql_runtime.feed.topic.receive import receive, current_range
from mlsql_runtime.feed.topic.send import SendTarget, deliver
from mlsql_runtime.feed.topic.table import SentPartition
from mlsql_runtime.kafka.settings import parse_settings

what, bootstrap, topic = sys.argv[1:]
settings = parse_settings({{"bootstrap.servers": bootstrap}}, "the test")
random = np.random.default_rng(0)
batches = (pa.record_batch({{"x": random.random(131072)}}) for _ in range({MEGABYTES}))  # 1 MB each

def peak():  # in megabytes; ru_maxrss would begin with what the parent had
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) >> 10

to_frame(pa.table({{"x": [0.5]}}))
next(deliver([next(batches)], SendTarget(settings, topic, 1, 8 << 20, "warm-up"), 0, 0, 0))
before = peak()
if what == "send":
    stamps = [stamp for _, stamp in deliver(batches, SendTarget(settings, topic, 1, 8 << 20, "run"), 0, 1, 0)]
    print(json.dumps({{"records": len(stamps), "rows": sum(s.rows for s in stamps), "grown": peak() - before}}))
else:
    part = SentPartition(run="run", partition=0, attempt=1, **json.loads(what))
    batches = receive(settings, current_range(settings, topic), topic, [part])
    rows = sum(len(to_frame(table)) for table in rebatch(batches, 65536))
    print(json.dumps({{"rows": rows, "grown": peak() - before}}))
"""


def run(what: str, bootstrap: str, topic: str) -> dict[str, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, what, bootstrap, topic], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, int] = json.loads(done.stdout)
    return answer


def test_neither_sender_nor_reader_holds_the_table(broker: Broker, kafka_settings: KafkaSettings) -> None:
    with open_admin(kafka_settings) as admin:
        create_topic(admin, "memory", configs={"max.message.bytes": str(8 << 20)})
        sent = run("send", broker.bootstrap, "memory")
        read = run(json.dumps({"records": sent["records"], "rows": sent["rows"]}), broker.bootstrap, "memory")
        delete_topics(admin, ["memory"])
    assert read["rows"] == sent["rows"] == (MEGABYTES - 1) * 131072
    assert (sent["grown"] < LIMIT, read["grown"] < LIMIT) == (True, True), (sent, read)
