"""``mlsql fit`` gives a script what a job gives it: the same columns, the same rows, the same files, the same model."""

from __future__ import annotations

import bz2
import datetime
import decimal
import gzip
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.workbench import EXAMPLES, SAMPLE, WIDTH, RunPlan

from mlsql_runtime.cli.main import main
from mlsql_runtime.feed.files.export import ExportFeed
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.reader import read_arrow
from mlsql_runtime.feed.table_facts import decode_schema
from mlsql_runtime.local.arrow_tables import read_table, write_table
from mlsql_runtime.local.data_source import DataSource
from mlsql_runtime.plan import FileFeed, Train
from mlsql_runtime.result import TrainResult
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ZONE = "Europe/Berlin"


@pytest.fixture
def berlin(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[SparkSession]:
    """Spark and this process in the same zone, which is not UTC."""
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", ZONE)
    monkeypatch.setenv("TZ", ZONE)
    yield spark
    spark.conf.set("spark.sql.session.timeZone", before)


class Both:
    """The same data by way of Spark and without it."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark, self.folder = spark, folder

    def by_spark(self, format: str, path: str, options: Mapping[str, str], feed: str) -> TableFiles:
        df = self.spark.read.format(format).options(**options).load(path)
        exported = ExportFeed(FileFeed(format=feed), Location.of(str(self.folder / "exported"))).prepare(df, None)
        return exported.open(self.folder / "by_spark", is_kept=False)

    def without(self, format: str, path: str, options: Mapping[str, str], feed: str) -> TableFiles:
        table = read_table(DataSource("--data", format, path, options))
        return write_table(table, self.folder / "without", feed)


@pytest.fixture
def both(berlin: SparkSession, tmp_path: Path) -> Both:
    return Both(berlin, tmp_path)


def types_of(files: TableFiles) -> dict[str, str]:
    """Column to type, whether nulls are allowed or not."""
    return {
        field.name: str(field.type).replace(" not null", "").replace("item:", "element:") for field in decode_schema(files.schema)
    }


def raw_rows(files: TableFiles) -> list[Any]:
    """What a script finds that reads the files itself, in an order of their own."""
    paths = sorted(path for path in Path(files.path).rglob("*") if path.is_file() and path.name[0] not in "._")
    if files.format == "json":
        rows = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
        return sorted((json.dumps(row, sort_keys=True) for row in rows), key=str)
    tables = [pq.read_table(path) for path in paths]
    return sorted(repr(_plain(row)) for table in tables for row in table.to_pylist())


def _plain(value: Any) -> Any:
    """A value without what Parquet's two kinds of timestamps differ in."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, datetime.datetime):
        value = value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
        return value.astimezone(datetime.timezone.utc).replace(tzinfo=None) if value.tzinfo else value.replace(tzinfo=None)
    return value


def helper_rows(files: TableFiles) -> list[str]:
    """What a script is given by ``mlsql``'s readers."""
    return sorted(repr(row) for batch in read_arrow(files) for row in batch.to_pylist())


def lazy_rows(both: Both, format: str, path: str, options: Mapping[str, str]) -> list[Any]:
    """What a script finds in a job that names no format: the JSON files written on its request."""
    df = both.spark.read.format(format).options(**options).load(path)
    exported = ExportFeed(FileFeed(), Location.of(str(both.folder / "lazy"))).prepare(df, None)
    files = exported.open(both.folder / "lazily" / "data", is_kept=False)
    if files.json_path is not None:
        assert files.format == "parquet"
        files.write_local_files(lambda: False)
    return raw_rows(replace(files, format="json", path=files.local_path))


def assert_same(both: Both, format: str, path: Path | str, options: Mapping[str, str] | None = None, feed: str = "json") -> None:
    by_spark = both.by_spark(format, str(path), options or {}, feed)
    without = both.without(format, str(path), options or {}, feed)
    assert types_of(without) == types_of(by_spark)
    assert without.rows == by_spark.rows
    assert raw_rows(without) == raw_rows(by_spark)
    assert helper_rows(without) == helper_rows(by_spark)
    if feed == "json":
        assert lazy_rows(both, format, str(path), options or {}) == raw_rows(by_spark)


# -- libsvm


@pytest.mark.parametrize("feed", ["json", "parquet"])
@pytest.mark.parametrize("options", [{}, {"numFeatures": "700"}, {"numfeatures": "692"}])
def test_libsvm_sample(both: Both, options: dict[str, str], feed: str) -> None:
    assert_same(both, "libsvm", SAMPLE, options, feed)


LIBSVM = {
    "comments and blanks": "# first\n1 1:2 3:4\n\n   \n-1.5e-3 2:5 \n# last",
    "no entries": "1\n0 1:1\n2\n",
    "zeros": "1 1:0 2:1\n0 1:0\n",
    "carriage returns": "+1 1:+2\r\n2 7:1e-7\r\n",
    "leading blanks": "  1   1:2   5:3\n",
    "long numbers": "1 1:0.1234567890123456789 2:1e300 3:-0.0\n",
}


@pytest.mark.parametrize("text", LIBSVM.values(), ids=LIBSVM)
def test_libsvm_text(both: Both, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(text)
    assert_same(both, "libsvm", tmp_path / "x.txt")


def test_libsvm_folder_with_spark_s_own_files(both: Both, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for name in ("part-0", "sub/part-1", "_SUCCESS", ".part-0.crc"):
        (folder / name).write_text("1 1:1 2:2\n0 2:3\n" if name[-1] in "01" else "junk")
    (folder / "part-2").write_text("")
    assert_same(both, "libsvm", folder)


# -- CSV

CSV: dict[str, tuple[str, dict[str, str]]] = {
    "plain": ("a,b\n1,x\n", {}),
    "header": ("a,b\n1,x\n", {"header": "TRUE"}),
    "odd names": ("x y,c.d,ü`,日本\n1,x,2,y\n", {"header": "true"}),
    "numbered names": ("a,a,,A\n1,2,3,4\n", {"header": "true"}),
    "empties": ('a,,c\n"",b,c\n', {}),
    "null value": ('NA,"NA",x\n,y,z\n', {"nullValue": "NA"}),
    "quotes": ('"a",b\n"x,y","z"\n', {}),
    "doubled quotes, meant": ('"a""b",c\n"x,""y""",d\n"""",e\n', {"escape": '"'}),
    "other quotes": ("'a,b',c\n\"d,e\n", {"quote": "'"}),
    "backslashes": ("C:\\new,d\\,e\n\\,\\n,f\n", {}),
    "blank lines": ("\n\na,b\n\n   \n1,2\n", {"header": "true"}),
    "blanks": (" a , b \n c,d \n", {}),
    "byte order mark": ("\ufeffa,b\n1,2\n", {"header": "true"}),
    "carriage returns": ('a,b\r\n1,"2"\r\n \r\n', {"header": "true"}),
    "semicolons": ("a;b\n1;ü\n", {"sep": ";"}),
    "tabs": ("a\tb\n1\t2\n\t\n", {"delimiter": "\\t"}),
    "no quotes": ('"a",b\n', {"quote": ""}),
    "one column": ("a\n\n  \nb\n", {"header": "true"}),
    "only a header": ("a,b\n", {"header": "true"}),
    "types": (
        "i,l,d,b,dt,s,n,m\n1,3000000000,1.5,true,2024-05-01,x,,1\n2,4,1e5,FALSE,2024-05-02,3,,x\n,,,,,,,\n",
        {"header": "true", "inferSchema": "true"},
    ),
    "times": (
        "a,b,c\n2024-05-01T12:00:00,2024-05-01 12:00:00.123456,1900-01-01 00:00:00\n2024-12-01 12:00:00,2024-10-27T02:30:00,\n",
        {"header": "true", "inferSchema": "true"},
    ),
    "texts of digits": ("a,b,c\n12 A,1.2.3,2024/05/01\n13 B,4.5.6,1-2\n", {"header": "true", "inferSchema": "true"}),
}


@pytest.mark.parametrize(("text", "options"), CSV.values(), ids=CSV)
def test_csv(both: Both, tmp_path: Path, text: str, options: dict[str, str]) -> None:
    (tmp_path / "x.csv").write_bytes(text.encode())
    assert_same(both, "csv", tmp_path / "x.csv", options)


def test_csv_files_with_headers_of_their_own_compressed(both: Both, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").write_text("a,b\n1,2\n3,4\n")
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"a,b\n5,6\n") + gzip.compress(b"7,8\n"))
    (folder / "c.csv.bz2").write_bytes(bz2.compress(b'a,b\n"9",\n'))
    (folder / "d.csv").write_text("")
    assert_same(both, "csv", folder, {"header": "true"})


# -- JSON

JSON = {
    "numbers": '{"b":1,"a":"x"}\n{"a":null,"c":1.5,"b":2.5}\n',
    "nothing but nulls": '{"a":null,"b":[],"c":{},"d":[null],"e":[{}],"f":1}\n',
    "not finite": '{"a":NaN,"b":"NaN"}\n{"a":1,"b":"x"}\n',
    "texts like times": '{"a":"2024-05-01","b":"2024-05-01T12:00:00Z","c":["2024-05-01"]}\n',
    "nested": '{"a":{"z":1,"b":null},"l":[[1],[2.5]]}\n{"a":{"y":"q"}}\n',
    "lists of objects": '{"a":[{"z":1},{"b":"ü"}]}\n{"a":[]}\n{"a":null}\n{}\n',
    "lists": '{"a":[1,2],"b":["x",null]}\n{"a":[1.5],"b":[]}\n',
    "odd names": '{"a b":1,"c.d":2,"ü`":3,"日\\"本":"\\u00fc\\/\\n"}\n',
    "blank lines": '\n{"a":1}\n  \n\r\n{"a":2}\r\n',
    "byte order mark": '\ufeff{"a":1}\n',
    "escapes": '{"a":"\\u0000\\t\\\\ \\"q\\" \\ud83d\\ude00"}\n',
    "braces in texts": '{"a":"}{ \\n{"}\n  {"a":"{"}\n',
}


@pytest.mark.parametrize("text", JSON.values(), ids=JSON)
def test_json(both: Both, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode())
    assert_same(both, "json", tmp_path / "x.json")


def test_json_files_some_empty(both: Both, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.json").write_text('{"a":1}')
    (folder / "b.json").write_text("")
    (folder / "c.json.gz").write_bytes(gzip.compress(b'{"b":"x"}\n'))
    assert_same(both, "json", folder)


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("spark.sql.jsonGenerator.ignoreNullFields", "false", '{"x":null,"at":"1970-01-01T01:00:00.000+01:00"}'),
        ("spark.sql.session.timeZone", "GMT+03:00", '{"at":"1970-01-01T03:00:00.000+03:00"}'),  # unknown to Arrow
    ],
)
def test_spark_writes_json_of_sessions_in_which_it_has_its_own_way(both: Both, option: str, value: str, text: str) -> None:
    before = both.spark.conf.get(option)
    assert before is not None
    both.spark.conf.set(option, value)
    try:
        df = both.spark.sql("select cast(null as int) as x, timestamp_seconds(0) as at")
        exported = ExportFeed(FileFeed(), Location.of(str(both.folder / "exported"))).prepare(df, None)
        files = exported.open(both.folder / "data", is_kept=False)
    finally:
        both.spark.conf.set(option, before)
    assert (files.format, files.json_path) == ("json", None)
    assert raw_rows(files) == [json.dumps(json.loads(text), sort_keys=True)]


def test_vectors_in_json_are_vectors_where_spark_has_objects(both: Both, tmp_path: Path) -> None:
    rows = ['{"f":{"type":1,"values":[1.0,2]},"y":1}', '{"f":{"type":0,"size":2,"indices":[0],"values":[1]},"y":0}', '{"y":2}']
    (tmp_path / "x.json").write_text("\n".join(rows))
    by_spark = both.by_spark("json", str(tmp_path / "x.json"), {}, "json")
    without = both.without("json", str(tmp_path / "x.json"), {}, "json")
    assert helper_rows(without) == helper_rows(by_spark)
    assert raw_rows(without) == raw_rows(by_spark)
    assert "size: int32" in types_of(without)["f"]
    assert "size: int64" in types_of(by_spark)["f"]


# -- Parquet

MOMENT = datetime.datetime(2024, 5, 1, 12, 0, 0, 123456)
PARQUET: dict[str, Callable[[], pa.Table]] = {
    "numbers": lambda: pa.table(
        {
            **{str(kind): pa.array([1, None, 100], kind) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
            **{str(kind): pa.array([1, None, -100], kind) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
            "float": pa.array([0.1, None, float("nan")], pa.float32()),
            "double": pa.array([0.1, float("-inf"), 1e-7]),
            "decimal": pa.array([decimal.Decimal("1.10"), None, decimal.Decimal("-0.01")]),
            "duration": pa.array([datetime.timedelta(1), None, None]),
        }
    ),
    "times": lambda: pa.table(
        {
            "local": pa.array([MOMENT, None], pa.timestamp("us")),
            "instant": pa.array([MOMENT, None], pa.timestamp("us", "UTC")),
            "elsewhere": pa.array([MOMENT, None], pa.timestamp("ms", "America/New_York")),
            "seconds": pa.array([MOMENT.replace(microsecond=0), None], pa.timestamp("s")),
            "date": pa.array([MOMENT.date(), None]),
            "date64": pa.array([MOMENT.date(), None], pa.date64()),
        }
    ),
    "texts": lambda: pa.table(
        {
            "x y.`ü": pa.array(['ü\n"', None, ""]),
            "dictionary": pa.array(["x", "y", None]).dictionary_encode(),
            "large": pa.array(["x", "y", None], pa.large_string()),
            "binary": pa.array([b"ab\xff", None, b""]),
            "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
            "bool": pa.array([True, None, False]),
            "nulls": pa.nulls(3),
        }
    ),
    "nested": lambda: pa.table(
        {
            "list": pa.array([[1, None], None, []], pa.large_list(pa.int64())),
            "fixed": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)),
            "map": pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int64())),
            "struct": pa.array([{"a": None, "b": [1.5]}, None, {"a": "x", "b": None}]),
        }
    ),
}


@pytest.mark.parametrize("feed", ["json", "parquet"])
@pytest.mark.parametrize("make", PARQUET.values(), ids=PARQUET)
def test_parquet(both: Both, tmp_path: Path, make: Callable[[], pa.Table], feed: str) -> None:
    pq.write_table(make(), tmp_path / "x.parquet")
    assert_same(both, "parquet", tmp_path / "x.parquet", feed=feed)


def test_parquet_that_spark_wrote_with_vectors_of_both_kinds(both: Both, tmp_path: Path) -> None:
    from pyspark.ml.linalg import Vectors, VectorUDT
    from pyspark.sql.types import DoubleType, StructField, StructType

    vectors = [
        Vectors.dense(1, 2, 3),
        Vectors.sparse(3, [1], [5.0]),
        Vectors.sparse(3, [], []),
        Vectors.dense(0, 0, float("nan")),
    ]
    schema = StructType([StructField("label", DoubleType()), StructField("features", VectorUDT())])
    df = both.spark.createDataFrame([(float(i), v) for i, v in enumerate(vectors)], schema)
    df = df.selectExpr("*", "timestamp'2024-01-01 00:00:00' at", "date'2024-01-01' on")
    df.repartition(8).write.parquet(str(tmp_path / "data"))
    assert_same(both, "parquet", tmp_path / "data")


# -- a model


def test_the_same_model_as_a_job_s(run_plan: RunPlan, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = EXAMPLES / "train_bayes.py"
    train = Train(
        table="data",
        model_path=str(tmp_path / "m"),
        script_path=str(script),
        fit_params=({"alpha": "0.5", "batchSize": "30"},),
        validate_table="data",
    )
    result = run_plan(train)
    result.raise_for_error()
    step = result.steps[-1]
    assert isinstance(step, TrainResult)
    capfd.readouterr()
    data = f"libsvm.`{SAMPLE}`"
    arguments = ["--fit-param", "alpha=0.5", "--fit-param", "batchSize=30", "--option", f"numFeatures={WIDTH}"]
    assert (
        main(
            [
                "fit",
                str(script),
                "--data",
                data,
                "--validate-data",
                data,
                *arguments,
                "--model-dir",
                str(tmp_path / "own"),
                "--json",
            ]
        )
        == 0
    )
    report = json.loads(capfd.readouterr().out)
    assert report["score"] == step.score
    assert report["rows"] == step.rows
    assert report["metrics"] == dict(step.fits[0].metrics)
    models = [
        pickle.loads(path.read_bytes()) for path in (tmp_path / "m/_model_1/model/0/model.pickle", tmp_path / "own/model.pickle")
    ]
    from sklearn.datasets import load_svmlight_file

    matrix, _ = load_svmlight_file(SAMPLE, n_features=WIDTH)
    expected, got = (model.predict_log_proba(matrix) for model in models)
    assert (expected == got).all() if (models[0].class_count_ == models[1].class_count_).all() else False


# -- data that need Spark

FIT = """
import contextlib, io, json, sys
from mlsql_runtime.cli.main import main

for arguments in json.loads(sys.argv[1]):
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = main(["fit", *arguments])
    print(json.dumps([code, output.getvalue(), errors.getvalue()]))
"""


class Fit(NamedTuple):
    """The exit code of ``mlsql fit``, and what it printed."""

    code: int
    output: str
    errors: str


@pytest.fixture(scope="module")
def fits(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fit]:
    """Call ``mlsql fit`` in a process beside this one: each call starts a session there, and ends it."""
    folder = tmp_path_factory.mktemp("fits")
    spark.read.format("libsvm").load(SAMPLE).selectExpr("label", "1.5 as features").write.orc(str(folder / "x"))
    (folder / "train.py").write_text("")
    bayes, libsvm = str(EXAMPLES / "train_bayes.py"), ["--data", f"libsvm.`{SAMPLE}`"]
    calls = {
        "--spark": [bayes, *libsvm, "--spark", "--validate", "0.3", "--json"],
        "orc": [bayes, "--data", f"orc.`{folder / 'x'}`", "--validate", "0.3", "--json"],
        "csv": [str(folder / "train.py"), *libsvm, "--data-format", "csv"],
    }
    command = [sys.executable, "-c", FIT, json.dumps(list(calls.values()))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(calls, (Fit(*json.loads(line)) for line in done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("way", ["--spark", "orc"])
def test_data_loaded_by_spark(fits: Mapping[str, Fit], way: str) -> None:
    fit = fits[way]
    assert fit.code == 0, fit.errors
    report = json.loads(fit.output)
    assert report["rows"] + report["validate_rows"] == 100
    assert ("orc needs Spark" in fit.errors) == (way == "orc")


def test_csv_files_for_scripts_are_written_by_spark(fits: Mapping[str, Fit]) -> None:
    """Here of vectors, which CSV cannot hold."""
    fit = fits["csv"]
    assert fit.code == 2, fit.errors
    assert "[mlsql] --data-format csv needs Spark: starting a local session" in fit.output
    assert "Set dataLocalFormat to json or parquet, or select other columns" in fit.errors
