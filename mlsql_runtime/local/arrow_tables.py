"""Tables without Spark: read, split and written as Spark would do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.sql_types import name_type
from mlsql_runtime.feed.decoding.vectors import is_vector, to_numpy
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.session_zone import find_session_zone
from mlsql_runtime.feed.table_facts import HOLD_OUT_SEED, ColumnRoles, TableFacts, encode_schema, one_width, order_classes
from mlsql_runtime.local.csv_files import read_csv
from mlsql_runtime.local.data_source import DataSource, find_files
from mlsql_runtime.local.json_files import read_json
from mlsql_runtime.local.libsvm_files import read_libsvm, to_arrow
from mlsql_runtime.local.parquet_files import ChooseColumns, read_parquet
from mlsql_runtime.store.signature import MAX_CLASSES
from mlsql_runtime.training.stratified import check_classes, count_held_out, refuse_type

_LINES = 8192


def read_table(source: DataSource, choose: ChooseColumns = lambda names: ()) -> pa.Table:
    """Return all rows of a table, in memory, with the columns that Spark would give.

    :param choose: returns the columns to read, from all that the table has; nothing for all of them.
    :raises DataError: when the files are not what the format says, or need Spark.
    """
    files, zone = find_files(source), find_session_zone()
    if source.format == "parquet":
        return _check_names(read_parquet(files, source, zone, choose), source)
    if source.format == "libsvm":
        table = read_libsvm(files, source)
    elif source.format == "csv":
        table = read_csv(files, source, zone)
    else:
        table = _check_names(read_json(files, source), source)
    chosen = choose(table.column_names)
    return table.select(list(chosen)) if chosen else table


def _check_names(table: pa.Table, source: DataSource) -> pa.Table:
    seen: dict[str, str] = {}
    for name in table.column_names:
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise DataError(f"{source.path}: the column {name} already exists, as {other}; rename one of them", column=name)
    return table


def find_width(table: pa.Table, column: str) -> int | None:
    """Return the width of the vectors of a column; None if it has none.

    :raises DataError: when they differ, as in a job; it names both widths.
    """
    if not is_vector(table.schema.field(column).type):
        return None
    parts = [pc.struct_field(table.column(column), name) for name in ("type", "size", "values")]
    try:
        is_dense = pc.cast(parts[0], pa.bool_())  # 1 is dense; a comparison with a scalar would import pandas
        found = pc.min_max(pc.if_else(is_dense, pc.list_value_length(parts[2]), parts[1])).as_py()
    except pa.ArrowException as error:
        raise DataError(f"column '{column}' has objects that are not vectors: {error}", column=column) from error
    return one_width(column, found["min"], found["max"])


def measure(table: pa.Table, roles: ColumnRoles) -> TableFacts:
    """Return the facts of a table that a job would observe.

    :raises DataError: when the vectors of a feature column differ in width.
    """
    widths, label = [find_width(table, name) for name in roles.features], roles.label
    labels = None if label is None else table.column(label)
    found = pc.unique(labels).drop_null() if labels is not None and _has_classes(labels.type) else None
    return TableFacts(
        rows=table.num_rows,
        schema=encode_schema(table.schema),
        columns={field.name: name_type(field.type) for field in table.schema},
        width=widths[0] if len(widths) == 1 else None,
        label=label,
        label_nulls=0 if labels is None else labels.null_count,
        classes=None if found is None or len(found) > MAX_CLASSES else order_classes(found.to_pylist()),
    )


def _has_classes(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string)
    return any(test(kind) for test in tests)


def hold_out(table: pa.Table, fraction: float, label: str | None = None) -> tuple[pa.Table, pa.Table]:
    """Split a table into the rows to train on and the rows to validate with, the same ones in every run.

    :param fraction: the probability that a row is held out; of each class, if there is a label.
    :param label: a label column whose classes have equal shares.
    :raises DataError: when the label column has no classes.
    """
    draws = np.random.default_rng(HOLD_OUT_SEED).random(table.num_rows)
    held = draws < fraction if label is None else _rank_in_class(table, label, draws, fraction)
    left, taken = (to_arrow(np.flatnonzero(part), pa.int64()) for part in (~held, held))
    return table.take(left), table.take(taken)


def _rank_in_class(
    table: pa.Table, label: str, draws: np.ndarray[Any, np.dtype[np.float64]], fraction: float
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return whether each row is among those of its class with the smallest draws, shape (n,)."""
    labels = table.column(label)
    if not _has_classes(labels.type):
        raise refuse_type(label, name_type(labels.type))
    encoded = pc.dictionary_encode(labels).combine_chunks()
    nulls = labels.null_count + (pc.sum(pc.is_nan(labels)).as_py() or 0 if pa.types.is_floating(labels.type) else 0)
    check_classes(label, len(encoded.dictionary), nulls)
    codes = to_numpy(encoded.indices)
    sizes = np.bincount(codes)
    order = np.lexsort((draws, codes))
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    counts = np.array([count_held_out(int(size), fraction) for size in sizes], int)
    return np.asarray(ranks < counts[codes])


def write_table(table: pa.Table, folder: Path, format: str | None) -> TableFiles:
    """Write a table for a script as one file in ``folder``; or, without a format, as a Parquet file beside it.

    :param folder: what the script knows as ``tempDataLocalPath``. Without a format its JSON file is written on request.
    :param format: ``json`` or ``parquet``; Spark writes the others.
    """
    path = folder if format is not None else folder.with_name(f"{folder.name}.parquet")
    path.mkdir()
    place = path / f"part-00000.{format or 'parquet'}"
    if format == "json":
        from mlsql_runtime.feed.files.json_writer import write_json_lines  # imports pandas

        with place.open("wb") as file:
            for batch in table.to_batches(max_chunksize=_LINES):
                write_json_lines(batch, file)
    else:
        import pyarrow.parquet as pq

        pq.write_table(table, place)
    return TableFiles(
        path=str(path),
        format=format or "parquet",
        options={},
        rows=table.num_rows,
        schema=encode_schema(table.schema),
        json_path=None if format is not None else str(folder),
    )
