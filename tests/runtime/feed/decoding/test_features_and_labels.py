from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.features_and_labels import choose_columns, read_matrix, read_matrix_batches
from mlsql_runtime.feed.files.table import TableFiles

Describe = Callable[..., TableFiles]
SCHEMA = pa.schema([("features", pa.list_(pa.float64())), ("label", pa.int64()), ("name", pa.string())])
ODD = ["of no type that the schema has"]
LINES = [json.dumps({"features": [n + 0.5, 2], "label": n % 2, "name": ODD}) + "\n" for n in range(10)]


@pytest.fixture
def table(tmp_path: Path, describe_table: Describe) -> TableFiles:
    (tmp_path / "part-0.json").write_text("".join(LINES[:4]))
    (tmp_path / "part-1.json").write_text("".join(LINES[4:]))
    return describe_table(tmp_path, "json", SCHEMA, len(LINES))


def test_x_and_y_of_all_files_without_a_look_at_other_columns(table: TableFiles) -> None:
    X, y = read_matrix(table, choose_columns(table, {}), None)
    assert X.tolist() == [[n + 0.5, 2] for n in range(10)]
    assert y.tolist() == [0, 1] * 5


@pytest.mark.parametrize("size", [1, 3, 4, 10, 11])
def test_batches_are_the_same_rows(table: TableFiles, size: int) -> None:
    parts = list(read_matrix_batches(table, choose_columns(table, {}), size, None))
    assert [len(y) for _, y in parts[:-1]] == [size] * (len(parts) - 1)
    assert [row for X, _ in parts for row in X.tolist()] == read_matrix(table, choose_columns(table, {}), None)[0].tolist()
    assert [label for _, y in parts for label in y.tolist()] == [0, 1] * 5


def test_one_column_may_be_both(table: TableFiles) -> None:
    X, y = read_matrix(table, choose_columns(table, {"inputCol": "label"}), None)
    assert X.tolist() == [[label] for label in y.tolist()]


def test_without_a_label_there_is_none_unless_it_is_asked_for(tmp_path: Path, describe_table: Describe) -> None:
    (tmp_path / "part-0.json").write_text('{"features":[1]}\n')
    table = describe_table(tmp_path, "json", pa.schema([SCHEMA.field("features")]), 1)
    assert read_matrix(table, choose_columns(table, {}), None)[1] is None
    with pytest.raises(DataError, match=r"no column 'label'.*fitParam\.<i>\.label"):
        read_matrix(table, choose_columns(table, {"label": "label"}), None)


def test_a_missing_column_is_named_before_any_file_is_opened(tmp_path: Path, describe_table: Describe) -> None:
    with pytest.raises(DataError) as caught:
        choose_columns(describe_table(tmp_path / "nothing", "json", SCHEMA, 1), {"inputCol": "feature"})
    assert caught.value.facts == {"column": "feature", "columns": ["features", "label", "name"]}


def test_the_usual_columns_are_found_in_any_case(tmp_path: Path, describe_table: Describe) -> None:
    (tmp_path / "part-0.json").write_text('{"Features":[1,2],"LABEL":3}\n')
    schema = pa.schema([("Features", pa.list_(pa.int64())), ("LABEL", pa.int64())])
    table = describe_table(tmp_path, "json", schema, 1)
    X, y = read_matrix(table, choose_columns(table, {}), None)
    assert (X.tolist(), y.tolist()) == ([[1, 2]], [3])
