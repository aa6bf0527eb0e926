from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.orc as pa_orc
import pyarrow.parquet as pa_parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsql_runtime.errors import DataError, InputError
from mlsql_runtime.feed.decoding.json_lines import BLOCK
from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE, VECTOR_TYPE, iter_serialized
from mlsql_runtime.feed.files.table import TableFiles, data_files
from mlsql_runtime.feed.reader import read_arrow, rebatch
from mlsql_runtime.feed.table_facts import decode_schema

AsVectors = Callable[[Iterable[Any]], pa.StructArray]
Describe = Callable[..., TableFiles]
PLAIN = pa.schema([("id", pa.int64()), ("x", pa.float64()), ("name", pa.string()), ("good", pa.bool_())])
ROWS = [{"id": i, "x": i / 4, "name": f"größe {i}", "good": i % 3 == 0} for i in range(20_000)]


def without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """As Spark writes a row in JSON."""
    return {key: value for key, value in row.items() if value is not None}


def json_lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(without_nulls(row), ensure_ascii=False) + "\n" for row in rows).encode()


def write(format: str, folder: Path, table: pa.Table) -> None:
    folder.mkdir(exist_ok=True)
    half = table.num_rows // 2
    for number, part in enumerate([table.slice(0, half), table.slice(half)]):
        path = folder / f"part-{number:05}.{format}"
        if format == "parquet":
            pa_parquet.write_table(part, path)
        elif format == "orc":
            pa_orc.write_table(pa.Table.from_pylist(part.to_pylist(), part.schema), path)  # its writer mistakes slices
        elif format == "csv":
            pa_csv.write_csv(part, path, pa_csv.WriteOptions(include_header=False))
        elif format == "json":
            path.write_bytes(json_lines(part.to_pylist()))
        elif format == "json.gz":
            path.write_bytes(gzip.compress(json_lines(part.to_pylist())))
    (folder / "_SUCCESS").touch()
    (folder / f".part-00000.{format}.crc").write_bytes(b"crc")


def rows_of(batches: Iterator[pa.RecordBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize("format", ["json", "json.gz", "parquet", "csv", "orc"])
def test_all_rows_are_read_in_order_with_their_types(tmp_path: Path, describe_table: Describe, format: str) -> None:
    write(format, tmp_path / "t", pa.Table.from_pylist(ROWS, PLAIN))
    table = describe_table(tmp_path / "t", format.removesuffix(".gz"), PLAIN, len(ROWS))
    batches = list(read_arrow(table))
    assert {batch.schema for batch in batches} == {PLAIN}
    assert rows_of(iter(batches)) == ROWS


@pytest.mark.parametrize("format", ["json", "parquet", "orc"])
def test_vectors_of_both_kinds_and_nulls_are_read(
    tmp_path: Path, describe_table: Describe, as_vectors: AsVectors, format: str
) -> None:
    vectors = as_vectors([[1, 2.5], (2, {}), None, (2, {1: -3})])
    schema = pa.schema([("label", pa.float64()), ("features", VECTOR_TYPE)])
    content = pa.table({"label": [0.0, None, 2.0, 3.0], "features": vectors}, schema)
    if format == "json":
        (tmp_path / "t").mkdir()
        rows = [row | {"features": without_nulls(row["features"])} if row["features"] else row for row in content.to_pylist()]
        (tmp_path / "t" / "part-0.json").write_bytes(json_lines(rows))
    else:
        write(format, tmp_path / "t", content)
    of_spark = schema.set(1, pa.field("features", SPARK_VECTOR_TYPE))  # to which a null vector's type is not null
    read = pa.Table.from_batches(read_arrow(describe_table(tmp_path / "t", format, of_spark, 4)))
    assert read.schema == schema
    assert read.column("label").to_pylist() == [0.0, None, 2.0, 3.0]
    assert list(iter_serialized(read.column("features").combine_chunks())) == list(iter_serialized(vectors))


@pytest.mark.parametrize("size", [1, 7, 64, 8192, 50_000])
def test_batches_are_exact_across_files(tmp_path: Path, describe_table: Describe, size: int) -> None:
    rows = ROWS if size > 7 else ROWS[:100]
    write("parquet", tmp_path / "t", pa.Table.from_pylist(rows, PLAIN))
    tables = list(rebatch(read_arrow(describe_table(tmp_path / "t", "parquet", PLAIN, len(rows))), size))
    assert [table.num_rows for table in tables[:-1]] == [size] * (len(tables) - 1)
    assert 0 < tables[-1].num_rows <= size
    assert [number for table in tables for number in table.column("id").to_pylist()] == [row["id"] for row in rows]


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12))
def test_rebatching_loses_and_adds_nothing(lengths: list[int], size: int) -> None:
    numbers = iter(range(sum(lengths)))
    batches = [pa.record_batch({"n": pa.array([next(numbers) for _ in range(length)], pa.int64())}) for length in lengths]
    found = [table.column("n").to_pylist() for table in rebatch(iter(batches), size)]
    assert [number for part in found for number in part] == list(range(sum(lengths)))
    assert [len(part) for part in found[:-1]] == [size] * (len(found) - 1)
    assert all(found)


def test_files_of_spark_s_own_are_passed_over(tmp_path: Path) -> None:
    for name in ("part-1", "part-0", "_SUCCESS", ".part-0.crc", "year=2024/part-0"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert data_files(str(tmp_path)) == [str(tmp_path / name) for name in ("part-0", "part-1", "year=2024/part-0")]


def test_the_schema_survives_its_text(describe_table: Describe, tmp_path: Path) -> None:
    schema = pa.schema([("features", VECTOR_TYPE), ("größe", pa.list_(pa.decimal128(10, 2)))])
    assert decode_schema(describe_table(tmp_path, "json", schema, 0).schema) == schema


@pytest.mark.parametrize("format", ["json", "parquet", "orc"])
def test_a_column_that_a_file_lacks_is_null_there(tmp_path: Path, describe_table: Describe, format: str) -> None:
    (tmp_path / "t").mkdir()
    write(format, tmp_path / "t", pa.table({"id": [1, 2]}))
    schema = pa.schema([("x", pa.float64()), ("id", pa.int64()), ("features", VECTOR_TYPE)])
    read = pa.Table.from_batches(read_arrow(describe_table(tmp_path / "t", format, schema, 2)))
    assert read.schema == schema
    assert read.to_pylist() == [{"x": None, "id": 1, "features": None}, {"x": None, "id": 2, "features": None}]


def test_columns_absent_from_some_rows_of_a_json_file_are_null_there(tmp_path: Path, describe_table: Describe) -> None:
    rows = [{"id": 1}, {"x": 0.5, "id": 2}, {"name": "c"}, {}]
    (tmp_path / "part-0.json").write_bytes(json_lines(rows))
    read = rows_of(read_arrow(describe_table(tmp_path, "json", PLAIN, 4)))
    assert [without_nulls(row) for row in read] == rows


@pytest.mark.parametrize("rows", [0, 19, 21])
def test_another_number_of_rows_is_an_error_that_names_both(tmp_path: Path, describe_table: Describe, rows: int) -> None:
    write("json", tmp_path / "t", pa.Table.from_pylist(ROWS[:20], PLAIN))
    with pytest.raises(DataError) as caught:
        list(read_arrow(describe_table(tmp_path / "t", "json", PLAIN, rows)))
    assert caught.value.facts == {"expected": rows, "found": 20}


def test_a_missing_file_is_missed(tmp_path: Path, describe_table: Describe) -> None:
    write("parquet", tmp_path / "t", pa.Table.from_pylist(ROWS[:20], PLAIN))
    (tmp_path / "t" / "part-00001.parquet").unlink()
    with pytest.raises(DataError) as caught:
        list(read_arrow(describe_table(tmp_path / "t", "parquet", PLAIN, 20)))
    assert caught.value.facts == {"expected": 20, "found": 10}


def test_a_format_that_only_the_script_can_read_names_those_we_read(tmp_path: Path, describe_table: Describe) -> None:
    with pytest.raises(InputError, match="libsvm") as caught:
        list(read_arrow(describe_table(tmp_path, "libsvm", PLAIN, 1)))
    assert all(format in caught.value.message for format in ("json", "parquet", "csv", "orc"))


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("part-0.json", b"", {}),
        ("part-0.json.gz", gzip.compress(b""), {}),
        ("part-0.csv", b"", {}),
        ("part-0.csv.gz", gzip.compress(b""), {}),
        ("part-0.csv", b"id,x,name,good\n", {"header": "true"}),
    ],
    ids=["json", "json.gz", "csv", "csv.gz", "csv with a header"],
)
def test_an_empty_file_beside_a_full_one_is_fine(
    tmp_path: Path, describe_table: Describe, name: str, content: bytes, options: dict[str, str]
) -> None:
    format = name.split(".")[1]
    (tmp_path / name).write_bytes(content)
    full = json_lines(ROWS[:3]) if format == "json" else b"0,0.0,a,true\n1,0.25,b,false\n2,0.5,c,false\n"
    if options:
        full = content + full
    (tmp_path / f"part-1.{format}").write_bytes(full)
    assert len(rows_of(read_arrow(describe_table(tmp_path, format, PLAIN, 3, options)))) == 3


@pytest.mark.parametrize("format", ["json", "parquet", "csv", "orc"])
def test_a_folder_without_files_has_no_rows(tmp_path: Path, describe_table: Describe, format: str) -> None:
    assert list(read_arrow(describe_table(tmp_path, format, PLAIN, 0))) == []


@pytest.mark.parametrize("format", ["parquet", "orc"])
def test_a_file_without_rows_has_none(tmp_path: Path, describe_table: Describe, format: str) -> None:
    write(format, tmp_path / "t", pa.Table.from_pylist([], PLAIN))
    assert rows_of(read_arrow(describe_table(tmp_path / "t", format, PLAIN, 0))) == []


@pytest.mark.parametrize("compress", [False, True])
def test_json_rows_longer_than_a_block_are_read_once_each(tmp_path: Path, describe_table: Describe, compress: bool) -> None:
    """A long row comes after so many short ones that batches were handed on before it is met."""
    schema = pa.schema([("id", pa.int64()), ("name", pa.string())])
    short, long = "s" * 1000, "l" * (BLOCK + BLOCK // 4)
    names = [short] * 20_000 + [long] + [short] * 100
    content = json_lines({"id": i, "name": name} for i, name in enumerate(names))
    path = tmp_path / ("part-0.json.gz" if compress else "part-0.json")
    path.write_bytes(gzip.compress(content, 6) if compress else content)
    read = pa.Table.from_batches(read_arrow(describe_table(tmp_path, "json", schema, len(names))))
    assert read.column("id").to_pylist() == list(range(len(names)))
    assert read.column("name").to_pylist() == names


def test_a_long_json_row_is_read_however_well_it_is_compressed(tmp_path: Path, describe_table: Describe) -> None:
    row = {"id": 1, "name": "l" * (BLOCK * 2)}
    (tmp_path / "part-0.json.gz").write_bytes(gzip.compress(json_lines([row]), 9))
    schema = pa.schema([("id", pa.int64()), ("name", pa.string())])
    assert rows_of(read_arrow(describe_table(tmp_path, "json", schema, 1))) == [row]


@pytest.mark.parametrize("content", [b'{"id": 1}\n{"id": \n', b'{"id": "one"}\n', b"words\n"])
def test_malformed_json_is_an_error_that_names_the_file(tmp_path: Path, describe_table: Describe, content: bytes) -> None:
    (tmp_path / "part-0.json").write_bytes(content)
    with pytest.raises(DataError, match=r"part-0\.json"):
        list(read_arrow(describe_table(tmp_path, "json", PLAIN, 2)))


NUMBERS = pa.schema([("x", pa.float64()), ("f", VECTOR_TYPE)])
ODD = ['{"x":"NaN"}', '{"x":"Infinity","f":{"type":1,"values":["NaN",2.0]}}', '{"x":"-Infinity"}', '{"x":1.5}']


@pytest.mark.parametrize("before", [0, 200_000])
def test_spark_s_text_for_nan_and_infinities_is_read_from_json(tmp_path: Path, describe_table: Describe, before: int) -> None:
    (tmp_path / "part-0.json").write_text('{"x":0.5}\n' * before + "\n".join(ODD) + "\n")
    read = pa.Table.from_batches(read_arrow(describe_table(tmp_path, "json", NUMBERS, before + 4)))
    assert str(read.column("x").slice(before).to_pylist()) == "[nan, inf, -inf, 1.5]"
    assert str(list(iter_serialized(read.column("f").combine_chunks()))[before + 1]) == "(1, None, None, [nan, 2.0])"


def test_text_that_reads_like_such_a_number_stays_text(tmp_path: Path, describe_table: Describe) -> None:
    names = ["NaN", 'x:"NaN",', "Infinity", "[NaN]"]
    rows = [{"x": "NaN", "name": name} for name in names]
    (tmp_path / "part-0.json").write_bytes(json_lines(rows).replace(b", ", b",").replace(b": ", b":"))
    schema = pa.schema([("x", pa.float64()), ("name", pa.string())])
    read = pa.Table.from_batches(read_arrow(describe_table(tmp_path, "json", schema, len(rows))))
    assert str(read.column("x").to_pylist()) == "[nan, nan, nan, nan]"
    assert read.column("name").to_pylist() == names


@pytest.mark.parametrize("format", ["json", "json.gz", "parquet", "csv", "orc"])
def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path, describe_table: Describe, format: str) -> None:
    write(format, tmp_path / "t", pa.Table.from_pylist(ROWS, PLAIN))
    table = describe_table(tmp_path / "t", format.removesuffix(".gz"), PLAIN, len(ROWS))
    batches = list(read_arrow(table, ["name", "id"]))
    assert {tuple(batch.schema.names) for batch in batches} == {("name", "id")}
    assert rows_of(iter(batches)) == [{"name": row["name"], "id": row["id"]} for row in ROWS]


def test_a_json_column_that_nobody_asks_for_may_be_anything(tmp_path: Path, describe_table: Describe) -> None:
    (tmp_path / "part-0.json").write_text('{"id":1,"x":"a"}\n{"id":2,"x":[1]}\n')
    assert rows_of(read_arrow(describe_table(tmp_path, "json", PLAIN, 2), ["id"])) == [{"id": 1}, {"id": 2}]


DAY, LONG = date(2020, 1, 1), Decimal("9007199254740993.01")
TYPED = [
    (pa.int8(), "5", 5),
    (pa.float32(), "0.5", 0.5),
    (pa.list_(pa.string()), '["a","b"]', ["a", "b"]),
    (pa.list_(pa.list_(pa.float64())), "[[1.5],[]]", [[1.5], []]),
    (pa.date32(), '"2024-02-29"', "2024-02-29"),
    (pa.timestamp("us"), '"2024-02-29T12:30:00.125"', "2024-02-29 12:30:00.125000"),
    (pa.timestamp("us", "UTC"), '"2024-02-29T12:30:00.125Z"', "2024-02-29 12:30:00.125000+00:00"),
    (pa.decimal128(10, 2), "12.25", "12.25"),
    (pa.struct([("a", pa.int32())]), '{"a":1}', {"a": 1}),
    (pa.binary(), '"AP8="', b"\0\xff"),
    (pa.decimal128(38, 10), "1234567890123456789.0123456789", "1234567890123456789.0123456789"),
    (pa.struct([("s", pa.string()), ("d", pa.date32())]), '{"s":"2020-01-01","d":"2020-01-01"}', {"s": "2020-01-01", "d": DAY}),
    (pa.list_(pa.struct([("s", pa.string())])), '[{"s":"2020-01-01 10:00"},null]', [{"s": "2020-01-01 10:00"}, None]),
    (pa.list_(pa.binary()), '["AP8=",null]', [b"\0\xff", None]),
    (
        pa.struct([("b", pa.binary()), ("n", pa.decimal128(20, 2))]),
        '{"b":"AP8=","n":9007199254740993.01}',
        {"b": b"\0\xff", "n": LONG},
    ),
    (pa.map_(pa.string(), pa.float64()), '{"a":1,"b":"NaN","c":null}', "[('a', 1.0), ('b', nan), ('c', None)]"),
    (pa.map_(pa.int32(), pa.struct([("d", pa.date32())])), '{"7":{"d":"2020-01-01"}}', [(7, {"d": DAY})]),
]


@pytest.mark.parametrize(("kind", "text", "expected"), TYPED, ids=[str(kind) for kind, _, _ in TYPED])
def test_types_that_spark_writes_in_json_come_back(
    tmp_path: Path, describe_table: Describe, kind: pa.DataType, text: str, expected: Any
) -> None:
    (tmp_path / "part-0.json").write_text(f'{{"v":{text}}}\n{{}}\n')
    read = pa.Table.from_batches(read_arrow(describe_table(tmp_path, "json", pa.schema([("v", kind)]), 2)))
    assert read.schema.field("v").type == kind
    value, null = read.column("v").to_pylist()
    assert (value if not isinstance(expected, str) else str(value)) == expected
    assert null is None


def test_maps_of_any_keys_are_read_however_many_rows_there_are(tmp_path: Path, describe_table: Describe) -> None:
    rows = [{"v": {f"key {number}": number}} for number in range(20_000)]
    (tmp_path / "part-0.json").write_bytes(json_lines(rows))
    schema = pa.schema([("v", pa.map_(pa.string(), pa.int64()))])
    found = rows_of(read_arrow(describe_table(tmp_path, "json", schema, len(rows))))
    assert found == [{"v": list(row["v"].items())} for row in rows]


@pytest.mark.parametrize(
    ("vector", "problem"),
    [
        ('{"type":0,"size":3,"indices":[4],"values":[9.0]}', "a sparse vector of size 3 has the index 4"),
        ('{"type":0,"size":3,"indices":[-1],"values":[9.0]}', "a sparse vector of size 3 has the index -1"),
        ('{"type":0,"size":3,"indices":[1,2],"values":[9.0]}', "another number of indices than of values"),
    ],
)
def test_a_sparse_vector_that_leads_out_of_its_row_is_refused(
    tmp_path: Path, describe_table: Describe, vector: str, problem: str
) -> None:
    good = '{"v":{"type":0,"size":3,"indices":[0],"values":[1.0]}}\n{"v":{"type":1,"values":[1.0]}}\n{}\n'
    (tmp_path / "part-0.json").write_text(f'{good}{{"v":{vector}}}\n')
    with pytest.raises(DataError, match=problem):
        list(read_arrow(describe_table(tmp_path, "json", pa.schema([("v", SPARK_VECTOR_TYPE)]), 4)))


@pytest.mark.parametrize("options", [{"sep": "||"}, {"encoding": "latin1"}, {"lineSep": ";"}])
def test_csv_options_that_the_readers_cannot_follow_are_refused(
    tmp_path: Path, describe_table: Describe, options: dict[str, str]
) -> None:
    (tmp_path / "part-0.csv").write_text("0,1,a,true\n")
    with pytest.raises(InputError, match="leave these options out, or use another format"):
        list(read_arrow(describe_table(tmp_path, "csv", PLAIN, 1, options)))


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b'id\tx\tname\tgood\n0\t1.5\t"a, ""b"""\ttrue\n1\t\t""\tfalse\n', {"header": "TRUE", "sep": "\\t"}),
        (b'0,1.5,"a, ""b""",true\n1,,"",false\n', {}),
        (b'0;1.5;a, \\"b\\";true\n1;;"";false\n', {"sep": ";"}),
        (b"0|1.5|'a, \"b\"'|true\n1||''|false\n", {"delimiter": "|", "quote": "'"}),
        (b'id,x,name,good\n0,1.5,"a, \\"b\\"",true\n1,-,"",false\n', {"Header": "true", "nullValue": "-"}),
    ],
)
def test_csv_options_are_applied(tmp_path: Path, describe_table: Describe, content: bytes, options: dict[str, str]) -> None:
    (tmp_path / "part-0.csv").write_bytes(content)
    assert rows_of(read_arrow(describe_table(tmp_path, "csv", PLAIN, 2, options))) == [
        {"id": 0, "x": 1.5, "name": 'a, "b"', "good": True},
        {"id": 1, "x": None, "name": "", "good": False},
    ]


def test_backslashes_and_quotes_come_back_from_csv_with_doubled_quotes(tmp_path: Path, describe_table: Describe) -> None:
    schema = pa.schema([("t", pa.string()), ("q", pa.string())])
    lines = [r'a\b,"q""\""x"', r'"c,\d",l' + "\\", "e,f"]
    (tmp_path / "part-0.csv").write_text("".join(line + "\n" for line in lines))
    assert rows_of(read_arrow(describe_table(tmp_path, "csv", schema, 3, {"escape": '"'}))) == [
        {"t": r"a\b", "q": r'q"\"x'},
        {"t": r"c,\d", "q": "l\\"},
        {"t": "e", "q": "f"},
    ]


def test_csv_values_may_hold_newlines(tmp_path: Path, describe_table: Describe) -> None:
    schema = pa.schema([("id", pa.int64()), ("name", pa.string())])
    names = [f"line {i}\n" + "more\n" * 40 for i in range(10_000)]
    (tmp_path / "part-0.csv").write_text("".join(f'{i},"{name}"\n' for i, name in enumerate(names)))
    assert rows_of(read_arrow(describe_table(tmp_path, "csv", schema, len(names)))) == [
        {"id": i, "name": name} for i, name in enumerate(names)
    ]


def test_csv_that_does_not_fit_the_schema_is_an_error_that_names_the_file(tmp_path: Path, describe_table: Describe) -> None:
    (tmp_path / "part-0.csv").write_bytes(b"one,1.5,a,true\n")
    with pytest.raises(DataError, match=r"part-0\.csv"):
        list(read_arrow(describe_table(tmp_path, "csv", PLAIN, 1)))


@pytest.mark.parametrize("format", ["parquet", "orc", "json.gz", "csv.gz"])
@pytest.mark.parametrize("damage", ["half", "no end", "other bytes"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, describe_table: Describe, format: str, damage: str) -> None:
    table = pa.Table.from_pylist(ROWS[:1000], PLAIN)
    write(format.replace("csv.gz", "json.gz"), tmp_path, table)
    for place in tmp_path.glob("part-*"):
        content = place.read_bytes()
        half = len(content) // 2
        changed = {
            "half": content[:half],
            "no end": content[:-4],
            "other bytes": content[: half - 50] + b"\xff" * 99 + content[half:],
        }
        place.rename(tmp_path / place.name.replace("json.gz", format)).write_bytes(changed[damage])
    with pytest.raises(DataError, match=r"part-0000\d\."):
        list(read_arrow(describe_table(tmp_path, format.partition(".")[0], PLAIN, 1000)))
