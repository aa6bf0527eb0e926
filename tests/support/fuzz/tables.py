"""Data: files for ``mlsql fit``, files that Spark has written for a script, and records of Kafka topics."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import orc
from pyarrow import parquet as pq

from mlsql_runtime import codec
from mlsql_runtime.feed.decoding.json_facts import JsonFacts
from mlsql_runtime.feed.decoding.json_lines import read_json_text
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.reader import read_arrow
from mlsql_runtime.feed.table_facts import ColumnRoles, TableFacts, decode_schema, encode_schema
from mlsql_runtime.feed.topic import records as messages
from mlsql_runtime.feed.topic.receive import decode_records, json_texts
from mlsql_runtime.feed.topic.records import RecordOrigin
from mlsql_runtime.feed.topic.scan import OwnRecords
from mlsql_runtime.feed.topic.send import FeedManifest
from mlsql_runtime.feed.topic.table import SentPartition
from mlsql_runtime.local.arrow_tables import find_width, measure, read_table
from mlsql_runtime.local.data_source import DataSource, check_options
from support.fuzz.engine import Kind, Mutate, Target
from support.fuzz.mutations import mutate_bytes, mutate_json, mutate_json_lines

ROWS = [{"id": number, "x": number / 4, "name": f"größe {number}", "good": number % 3 == 0} for number in range(40)]
TABLE = pa.Table.from_pylist(
    ROWS, pa.schema([("id", pa.int64()), ("x", pa.float64()), ("name", pa.string()), ("good", pa.bool_())])
)
LINES = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in ROWS)
VECTORS = b'{"label": 1, "features": {"type": 0, "size": 5, "indices": [0, 3], "values": [1.0, 2.5]}}\n' * 5
DENSE = b'{"label": 0, "features": {"type": 1, "values": [1.0, 2.0, 3.0, 4.0, 5.5]}}\n' * 3
CSV = b"id,x,name,when\n1,2.5,a,2024-05-01\n2,3.5,,2024-05-02\n3,-1.0,b c,2024-05-03\n" * 3
QUOTED = b'"a","b"\n"x","y z"\n,"1"\n'
LIBSVM = b"# a comment\n1 1:0.5 3:1e-3 7:2\n0 2:+1.5\n\n1\n-1.5 1:0 5:7\n"
_NULL = re.compile(rb"(^|\n|\})\s*null")
ROLES = ColumnRoles(features=("features",), label="label")


def _parquet(table: pa.Table, **how: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **how)
    return buffer.getvalue()


def _csv(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    arrow_csv.write_csv(table, buffer, arrow_csv.WriteOptions(include_header=False))
    return buffer.getvalue()


def _orc(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    orc.write_table(table, buffer)
    return buffer.getvalue()


NESTED = pa.table(
    {"a": [[1.5, 2.0], None, []], "b": [{"x": 1}, {"x": None}, None], "c": ["a", "b", None], "d": [b"x", None, b"y"]}
)


def _local(
    name: str, samples: Sequence[bytes], mutate: Mutate, options: Mapping[str, str], format: str
) -> Callable[[Path], Target]:
    """Return what makes the target for a file that ``mlsql fit`` reads without Spark."""

    def make(folder: Path) -> Target:
        place = folder / name
        source = DataSource("--data", format, str(place), options)
        check_options(source)

        def read(case: bytes) -> bool:
            place.write_bytes(case)
            table = read_table(source)
            table.validate(full=True)
            roles = ColumnRoles(
                features=tuple(name for name in table.column_names if name == "features"),
                label=next((name for name in table.column_names if name in ("label", "id")), None),
            )
            codec.dumps(measure(table, roles))
            for column in roles.features:
                find_width(table, column)
            return table.num_rows > 0

        return Target(samples, mutate, read, folder, where=(str(place), "column "))

    return make


def _exported(format: str, sample: bytes, options: Mapping[str, str] | None = None, ending: str = "") -> Callable[[Path], Target]:
    """Return what makes the target for a file that Spark wrote for a script, and that is damaged."""

    def make(folder: Path) -> Target:
        data = folder / "data"
        data.mkdir()
        place = data / f"part-00000.{format}{ending}"
        files = TableFiles(
            path=str(data), format=format, options=options or {}, rows=len(ROWS), schema=encode_schema(TABLE.schema)
        )

        def read(case: bytes) -> bool:
            if format == "json" and _NULL.search(case):  # pyarrow 26 ends the process at such a line, which Spark never writes
                return False
            place.write_bytes(case)
            for batch in read_arrow(files):
                batch.validate()
            return True

        return Target(
            [sample], mutate_json_lines if format == "json" and not ending else mutate_bytes, read, folder, (str(data),)
        )

    return make


# -- Kafka


@dataclass(frozen=True)
class Record:
    """A record as kafka-python returns it."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    offset: int
    topic: str = "orders"
    partition: int = 0


def _pack(records: Sequence[tuple[bytes | None, Sequence[tuple[str, bytes | None]]]]) -> bytes:
    """Return records as a case: lines of JSON with base64."""

    def text(content: bytes | None) -> str | None:
        return None if content is None else base64.b64encode(content).decode()

    return "\n".join(
        json.dumps([text(value), [[name, text(each)] for name, each in headers]]) for value, headers in records
    ).encode()


def _unpack(case: bytes) -> list[tuple[bytes | None, list[tuple[str, bytes | None]]]]:
    def content(text: str | None) -> bytes | None:
        return None if text is None else base64.b64decode(text)

    lines = [json.loads(line) for line in case.splitlines()]
    return [(content(value), [(name, content(each)) for name, each in headers]) for value, headers in lines]


def _records(case: bytes) -> list[Record]:
    return [Record(value, headers, number) for number, (value, headers) in enumerate(_unpack(case))]


def mutate_records(change: Mutate) -> Mutate:
    """Return a mutation of one record's value or headers, or of their order."""

    def mutate(chance: random.Random, samples: Sequence[bytes]) -> bytes:
        records = _unpack(chance.choice(samples))
        place = chance.randrange(len(records))
        value, headers = records[place]
        way = chance.randrange(8)
        if way == 0:
            value = None
        elif way == 1 and headers:
            number = chance.randrange(len(headers))
            name, content = headers[number]
            headers[number] = (name, chance.choice((None, b"", b"-1", b"\xff", b"9" * 30, b"1e3", content)))
        elif way == 2 and headers:
            del headers[chance.randrange(len(headers))]
        elif way == 3:
            headers = [*headers, *records[chance.randrange(len(records))][1]]
        elif value is not None:
            value = change(chance, [value])
        records[place] = (value, headers)
        if chance.random() < 0.15:
            records = records + records[:1] if chance.random() < 0.5 else records[1:] or records
        return _pack(records)

    return mutate


def _sent() -> tuple[list[tuple[bytes | None, Sequence[tuple[str, bytes | None]]]], tuple[SentPartition, ...]]:
    sent: list[tuple[bytes | None, Sequence[tuple[str, bytes | None]]]] = []
    for number, batch in enumerate(TABLE.to_batches(max_chunksize=10)):
        [(content, rows)] = messages.encode(batch, 1 << 19)
        sent.append((bytes(content), RecordOrigin("run", 0, 7, number, rows).headers()))
    parts = (SentPartition(run="run", partition=0, attempt=7, records=len(sent), rows=TABLE.num_rows),)
    return sent, parts


def _topic(folder: Path) -> Target:
    """Records of a run, which the script of a group reads."""
    sent, parts = _sent()

    def read(case: bytes) -> bool:
        for batch in decode_records(iter(_records(case)), "orders", parts, [0, 2]):
            batch.validate(full=True)
            batch.to_pylist()
        return True

    return Target([_pack(sent)], mutate_records(mutate_bytes), read, folder, where=("topic orders",))


def _scan(records: Sequence[Record]) -> None:
    own, facts = OwnRecords(), JsonFacts(ROLES)
    for texts, what in json_texts(own.take_from(iter(records))):
        facts.add(texts, what)
    manifest = own.manifest("topic orders")
    found = facts.facts() if manifest is None else manifest.facts
    schema = decode_schema(found.schema)
    if manifest is not None:
        return
    for texts, what in json_texts(iter(records)):
        for batch in read_json_text(b"\n".join(texts), schema, schema.names, what):
            batch.validate(full=True)


def _kept_run(folder: Path) -> Target:
    """A topic of a kept run, from which another training reads: its records and its manifest."""
    sent, parts = _sent()
    facts = TableFacts(rows=40, schema=encode_schema(TABLE.schema), columns={"id": "bigint"}, width=None)
    manifest = codec.dumps(FeedManifest("run", facts, parts)).encode()
    good = [_pack([*sent, (manifest, messages.manifest_headers())]), _pack([(manifest, messages.manifest_headers())])]

    def read(case: bytes) -> bool:
        _scan(_records(case))
        return True

    return Target(good, mutate_records(mutate_json_or_bytes), read, folder, where=("topic orders", "the schema of a table"))


def mutate_json_or_bytes(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """Damage JSON as JSON, and anything else as bytes."""
    is_json = samples[0][:1] == b"{" and samples[0].isascii()
    return mutate_json(chance, samples) if is_json else mutate_bytes(chance, samples)


def _other_topic(folder: Path) -> Target:
    """A topic of another producer, with a JSON object in each record."""
    lines = [line for text in (VECTORS, DENSE) for line in text.splitlines()]

    def read(case: bytes) -> bool:
        _scan(_records(case))
        return True

    return Target([_pack([(line, []) for line in lines])], mutate_records(mutate_json), read, folder, ("topic orders", "column "))


HEADER = {"header": "true", "inferSchema": "true"}
KINDS = (
    Kind("CSV", _local("x.csv", [CSV, QUOTED], mutate_bytes, HEADER, "csv")),
    Kind("CSV without a header", _local("x.csv", [CSV, QUOTED], mutate_bytes, {}, "csv")),
    Kind("JSON lines", _local("x.json", [LINES, VECTORS, DENSE], mutate_json_lines, {}, "json")),
    Kind("JSON lines, gzip", _local("x.json.gz", [gzip.compress(LINES)], mutate_bytes, {}, "json")),
    Kind("CSV, bzip2", _local("x.csv.bz2", [bz2.compress(CSV)], mutate_bytes, HEADER, "csv")),
    Kind("Parquet", _local("x.parquet", [_parquet(TABLE), _parquet(NESTED, compression="gzip")], mutate_bytes, {}, "parquet")),
    Kind("libsvm", _local("x.libsvm", [LIBSVM], mutate_bytes, {}, "libsvm")),
    Kind("JSON of Spark", _exported("json", LINES)),
    Kind("JSON of Spark, gzip", _exported("json", gzip.compress(LINES), ending=".gz")),
    Kind("Parquet of Spark", _exported("parquet", _parquet(TABLE))),
    Kind("CSV of Spark", _exported("csv", _csv(TABLE))),
    Kind("ORC of Spark", _exported("orc", _orc(TABLE))),
    Kind("records of a run", _topic),
    Kind("records and manifest of a kept run", _kept_run),
    Kind("records of another producer", _other_topic),
)
