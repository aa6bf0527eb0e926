from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE
from mlsql_runtime.plan import FileFeed, KafkaFeed, Train
from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.training.data_format import Choice, choose_format

MATRICES = "import mlsql\nX, y = mlsql.all_data()"
ROWS = "import mlsql\nrows = mlsql.read_data()"
WITHOUT_DOUBT = {"features": SPARK_VECTOR_TYPE, "label": pa.float64(), "text": pa.string(), "lists": pa.list_(pa.int32())}


def chosen(source: str = MATRICES, schema: dict[str, Any] | None = WITHOUT_DOUBT, **fields: Any) -> Choice | None:
    statement = Train(**{"table": "data", "model_path": "m", "script_path": "train.py"} | fields)  # type: ignore[arg-type]
    bundle = ScriptBundle("train.py", {"train.py": source.encode()})
    made, choice = choose_format(statement, bundle, lambda: None if schema is None else pa.schema(schema))
    if choice is not None:
        assert made.feed == FileFeed(format=choice.format, options=getattr(statement.feed, "options", {}))
    return choice


@pytest.mark.parametrize("source", [MATRICES, ROWS])
def test_a_script_that_reads_by_functions_gets_parquet(source: str) -> None:
    choice = chosen(source)
    assert choice is not None
    assert choice.format == "parquet"


def test_a_built_in_algorithm_gets_parquet() -> None:
    svc = {"moduleName": "sklearn.svm", "className": "SVC"}
    statement = Train(table="data", model_path="m", script_path="builtin:sklearn", fit_params=(svc,))
    bundle = read_bundle("builtin:sklearn", "train")
    _, choice = choose_format(statement, bundle, lambda: pa.schema(WITHOUT_DOUBT))
    assert choice is not None
    assert (choice.format, "mlsql.read_batches" in choice.why) == ("parquet", True)


@pytest.mark.parametrize("feed", [FileFeed(format="json"), FileFeed(format="orc"), KafkaFeed(topic="t", settings={})])
def test_what_was_asked_for_is_not_changed(feed: FileFeed | KafkaFeed) -> None:
    assert chosen(feed=feed) is None


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"source": "import mlsql\nmlsql.params()"}, "train.py uses mlsql.params"),
        ({"feed": FileFeed(options={"compression": "gzip"})}, "dataLocal.option.compression is given without dataLocalFormat"),
        ({"keep_local_directory": True}, "its folder is kept"),
        ({"schema": None}, "not every column has a type that Arrow knows"),
    ],
)
def test_in_doubt_it_is_json(fields: dict[str, Any], why: str) -> None:
    assert chosen(**fields) == Choice("json", why)


TIME = pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("kind", "unread", "read"),
    [
        (TIME, "parquet", "json"),
        (pa.decimal128(10, 2), "parquet", "json"),
        (pa.map_(pa.string(), pa.list_(TIME)), "parquet", "json"),
        (pa.struct({"a": pa.date32()}), "parquet", "json"),
        (pa.null(), "json", "json"),
        (pa.list_(pa.null()), "json", "json"),
        (pa.struct([]), "json", "json"),
        (pa.duration("us"), "json", "json"),
    ],
)
def test_types_that_json_changes_count_where_they_are_read(kind: pa.DataType, unread: str, read: str) -> None:
    schema = WITHOUT_DOUBT | {"other": kind}
    formats = [
        choice.format
        for choice in (
            chosen(MATRICES, schema),
            chosen(MATRICES, schema, fit_params=({}, {"label": "other"})),
            chosen(ROWS, schema),
        )
        if choice is not None
    ]
    assert formats == [unread, read, read]
