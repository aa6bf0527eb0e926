"""Data that cannot be read without Spark, or not at all.

What Spark may read in another way is refused, and the error says to add ``--spark``.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlsql_runtime.errors import DataError, InputError
from mlsql_runtime.local.arrow_tables import find_width, read_table
from mlsql_runtime.local.data_source import DataSource, check_options, parse_data_source

HEADER = {"header": "true"}
INFERRED = {**HEADER, "inferSchema": "true"}
CSV: dict[str, tuple[str, dict[str, str], str]] = {
    "ragged": ("a,b\n1\n", {}, "x.csv: CSV parse error: Expected 2 columns, got 1"),
    "doubled quotes": ('"a""b",c\n', {}, "has quotes that Spark reads in its own way, in the line"),
    "backslash in quotes": ('x\n"a\\"b"\n', {}, "has quotes that Spark reads in its own way"),
    "line break in quotes": ('"a\nb",c\n', {}, "has quotes that Spark reads in its own way"),
    "blank before a quote": (' "a",b\n', {}, "has quotes that Spark reads in its own way"),
    "quotes inside": ('a"b,c\n', {}, "has quotes that Spark reads in its own way"),
    "unclosed": ('"a,b\nc,d\n', {}, "has quotes that Spark reads in its own way, in the line '\"a,b'"),
    "quotes across fields": ('"a,"",b"\n', {}, "has quotes that Spark reads in its own way"),
    "empty text beside a null value": ('"",NA\n', {"nullValue": "NA"}, "has empty texts in quotes"),
    "decimals": ("n\n1234567890123456789\n", INFERRED, "the type that Spark infers for column 'n', with values like '1234567"),
    "exponents": ("n\n1e5\n", INFERRED, "is not certain"),
    "signs": ("n\n+1\n2\n", INFERRED, "is not certain"),
    "blank before a number": ("n\n 2\n", INFERRED, "is not certain"),
    "suffixes": ("n\n1.0f\n", INFERRED, "is not certain"),
    "not a number": ("n\nNaN\n1.5\n", INFERRED, "is not certain"),
    "dates and times": ("t\n2024-05-01\n2024-05-01 01:00:00\n", INFERRED, "is not certain"),
    "offsets": ("t\n2024-05-01T12:00:00Z\n", INFERRED, "is not certain"),
    "minutes": ("t\n2024-05-01T12:00\n", INFERRED, "is not certain"),
    "short dates": ("t\n2024-5-1\n", INFERRED, "is not certain"),
    "times of day": ("t\n12:00:00\n", INFERRED, "is not certain"),
    "no such day": ("t\n2024-02-30\n", INFERRED, "is not certain"),
    "skipped hour": ("t\n2024-03-31 02:30:00\n", INFERRED, "is not certain"),
    "numbers and truth": ("n\n1\ntrue\n", INFERRED, "is not certain"),
}


@pytest.mark.parametrize(("text", "options", "message"), CSV.values(), ids=CSV)
def test_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, options: dict[str, str], message: str) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    (tmp_path / "x.csv").write_text(text)
    assert_refused(DataSource("--data", "csv", str(tmp_path / "x.csv"), options), message)


def test_csv_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xe9,1\n")
    assert_refused(DataSource("--data", "csv", str(tmp_path / "x.csv")), "invalid UTF8 data")


def test_csv_files_that_differ(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text("a,c\n1,2\n")
    assert_refused(DataSource("--data", "csv", str(tmp_path), HEADER), "have different headers")
    assert read_table(DataSource("--data", "csv", str(tmp_path))).num_rows == 4
    (tmp_path / "c.csv").write_text("a\n")
    assert_refused(DataSource("--data", "csv", str(tmp_path)), "have different numbers of columns")


JSON = {
    "null": ("null\n", ":1: expected a JSON object, got 'null'"),  # pyarrow 26 would end the process
    "null after an object": ('{"a":1}\n null\n', ":2: expected a JSON object, got 'null'"),
    "null on the same line": ('{"a":1} null\n', "has lines with more or less than one JSON object"),
    "two objects on a line": ('{"a":1}{"b":2}\n', "has lines with more or less than one JSON object"),
    "an object on two lines": ('{"a":\n{"b":1}}\n', "has lines with more or less than one JSON object"),
    "an indented object": ('{\n  "a": 1\n}\n', ":2: expected a JSON object, got '\"a\": 1'"),
    "top arrays": ('[{"a":1},{"a":2}]\n', ":1: expected a JSON object, got '[{"),
    "not JSON": ('{"a":1}\n{"a":\n', "x.json: JSON parse error"),
    "single quotes": ("{'a':1}\n", "x.json: JSON parse error"),
    "mixed types": ('{"a":1}\n{"a":"x"}\n', "Column(/a) changed from number to string in row 1"),
    "mixed lists": ('{"a":[1,"x"]}\n', "changed from number to string"),
    "a name twice": ('{"a":1,"a":2}\n', "was specified twice"),
    "beyond 64 bits": ('{"a":{"b":[1,123456789012345678901]}}\n', "column 'a' of "),
    "infinity": ('{"a":-Infinity}\n{"a":1}\n', "has numbers beyond 64 bits"),
    "half a vector": ('{"a":{"type":1,"values":["x"]}}\n', "x.json: JSON parse error"),
}


@pytest.mark.parametrize(("text", "message"), JSON.values(), ids=JSON)
def test_json(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_text(text)
    assert_refused(DataSource("--data", "json", str(tmp_path / "x.json")), message)


def test_json_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'{"a":"\xff"}')
    assert_refused(DataSource("--data", "json", str(tmp_path / "x.json")), "codec can't decode byte 0xff")


LIBSVM = {
    "zero": ("1 1:1\n1 0:1\n", ":2: indices should be one-based and in ascending order; found 0 after 0"),
    "descending": ("# c\n\n1 2:1 1:1\n", ":3: indices should be one-based and in ascending order; found 1 after 2"),
    "twice": ("1 1:2 1:3\n", ":1: indices should be one-based and in ascending order; found 1 after 1"),
    "fraction": ("1 1.5:2\n", ":1: indices should be"),
    "no number": ("1 1:1\n1 1:x\n", ":2: expected a number, got 'x'"),
    "label": ("yes 1:1\n", ":1: expected a number, got 'yes'"),
    "group": ("1 qid:3 1:1\n", ":1: expected a number, got 'qid'"),
    "comment at the end": ("1 1:2 # x\n", ":1: expected 'label index:value"),
    "two labels": ("1 2 1:2\n", ":1: expected 'label index:value"),
    "two colons": ("1 1:2:3\n", ":1: expected 'label index:value"),
    "label left out": ("1:2 3:4\n", ":1: expected 'label index:value"),
    "no value": ("1 1:\n", ":1: expected 'label index:value"),
    "tab": ("1\t1:1\n", ":1: expected 'label index:value"),
    "two signs": ("1 1+1:2\n", ":1: expected a number, got '1+1'"),
    "no text": (b"\x00\xff\n", ":1: expected a number"),
    "beyond 32 bits": ("1 2147483647:1\n1 2147483648:1\n", ":2: indices should be at most 2147483647, found 2147483648"),
    "beyond 64 bits": ("1 9223372036854775808:2\n", ":1: indices should be at most 2147483647, found 9223372036854775808"),
}


@pytest.mark.parametrize(("text", "message"), LIBSVM.values(), ids=LIBSVM)
def test_libsvm(tmp_path: Path, text: str | bytes, message: str) -> None:
    """Spark refuses these, too; the error names file and line."""
    place = tmp_path / "x.txt"
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        read_table(DataSource("--data", "libsvm", str(place)))
    assert caught.value.message.startswith(f"{place}{message}")


def test_an_index_beyond_numfeatures(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("1 6:1\n")
    with pytest.raises(DataError, match="holds the index 6, and numFeatures is 5"):
        read_table(DataSource("--data", "libsvm", str(tmp_path / "x.txt"), {"numFeatures": "5"}))


def test_parquet_files_that_differ(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "b.parquet")
    assert_refused(DataSource("--data", "parquet", str(tmp_path)), "b.parquet has other columns or types than")


def test_types_that_spark_refuses_too_are_named(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"at": pa.array([1], pa.time64("us"))}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"column 'at' is of type time64.us., which Spark does not read"):
        read_table(DataSource("--data", "parquet", str(tmp_path / "x.parquet")))


@pytest.mark.parametrize(
    ("format", "options", "message"),
    [
        ("csv", {"header": "maybe"}, "the option header of --data is 'maybe'; expected true or false"),
        ("libsvm", {"numFeatures": "many"}, "--option numFeatures=many: expected a number of at least 1"),
        ("csv", {"sep": "||"}, "--option sep=|| is not one ASCII character"),
        ("csv", {"sep": "§"}, "--option sep=§ is not one ASCII character"),
        ("csv", {"quote": "ab"}, "--option quote=ab is not one ASCII character"),
        ("csv", {"escape": "!"}, "--option escape=! is neither a backslash nor the quote"),
        ("csv", {"heade": "true"}, "--option heade of csv needs Spark: add --spark, or did you mean 'header'?"),
        ("csv", {"dateFormat": "dd.MM.yyyy"}, "--option dateFormat of csv needs Spark"),
        ("csv", {"multiLine": "true"}, "--option multiLine of csv needs Spark"),
        ("json", {"multiLine": "true"}, "--option multiLine of json needs Spark"),
        ("libsvm", {"vectorType": "dense"}, "--option vectorType of libsvm needs Spark"),
        ("parquet", {"mergeSchema": "true"}, "--option mergeSchema of parquet needs Spark"),
    ],
)
def test_options(format: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_options(DataSource("--data", format, "x", options))
    assert message in caught.value.message
    assert ("expected" in message) != ("add --spark" in caught.value.message)


FILES = {
    "nothing there": ("json.`nowhere`", "--data: there is nothing at nowhere; check the path of the data"),
    "pattern without files": ("json.`*.nothing`", "there is nothing at *.nothing"),
    "empty folder": ("json.`empty`", "holds no files"),
    "partitions": ("json.`parts`", "/parts is partitioned (day=1); add --spark to read it with a local Spark"),
    "other compression": ("x.csv.xz", "x.csv.xz is compressed, and not with one of gzip, bz2, zstd; add --spark"),
    "not compressed": ("false.csv.gz", "is not compressed with gzip, as its name says"),
    "not Parquet": ("parquet.`rows.txt`", "rows.txt is not a Parquet file"),
    "no format": ("rows.txt", "--data is rows.txt, whose ending is not one of .parquet, .json, .jsonl, "),
    "half a reference": ("json.`rows", "expected format.`path`"),
}


@pytest.mark.parametrize(("reference", "message"), FILES.values(), ids=FILES)
def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.csv.xz", "rows.txt", "false.csv.gz", "parts/day=1/x.json", "empty/_SUCCESS"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with pytest.raises(InputError) as caught:
        read_table(parse_data_source(reference, "--data", {}))
    assert message in caught.value.message


def test_names_that_differ_in_case_only(tmp_path: Path) -> None:
    """Spark refuses them, too."""
    (tmp_path / "x.json").write_text('{"a":1,"A":2}\n')
    with pytest.raises(DataError, match=r"the column a already exists, as A; rename one of them"):
        read_table(DataSource("--data", "json", str(tmp_path / "x.json")))


def assert_refused(source: DataSource, message: str) -> None:
    check_options(source)
    with pytest.raises(DataError) as caught:
        read_table(source)
    assert message in caught.value.message
    assert "add --spark to read" in caught.value.message


@pytest.mark.parametrize("cut", [10, 500, -30, -5])
def test_a_damaged_parquet_file_is_refused_by_name(tmp_path: Path, cut: int) -> None:
    pq.write_table(pa.table({"id": list(range(1000)), "name": [f"n{number}" for number in range(1000)]}), tmp_path / "x.parquet")
    content = bytearray((tmp_path / "x.parquet").read_bytes())
    content[cut:cut] = b"\xff" * 8
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.parquet is not a Parquet file, or damaged: "):
        read_table(DataSource("--data", "parquet", str(tmp_path / "x.parquet")))


def test_objects_that_only_look_like_vectors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"features": {"type": 1, "size": 1, "indices": [1], "values": {"a": 1}}}\n')
    table = read_table(DataSource("--data", "json", str(tmp_path / "x.json")))
    with pytest.raises(DataError, match="column 'features' has objects that are not vectors"):
        find_width(table, "features")


@pytest.mark.parametrize("line", ["0 2:+", "+ 2:1", "0 2:+ 3:+", "0 2:+e"])
def test_a_sign_alone_is_not_a_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.libsvm").write_text(f"1 1:0.5 3:2\n{line}\n1 1:1\n")
    with pytest.raises(DataError, match=r"x\.libsvm:2: expected a number, got '\+"):
        read_table(DataSource("--data", "libsvm", str(tmp_path / "x.libsvm")))
