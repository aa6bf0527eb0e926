"""Tables without Spark: read with the columns it would give, some rows held out, written as it would write them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import is_vector
from mlsql_runtime.feed.files.export import CSV_OPTIONS
from mlsql_runtime.feed.files.json_writer import write_json_lines
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.table_facts import HOLD_OUT_SEED, encode_schema, one_width
from mlsql_runtime.local.csv_lines import read_csv
from mlsql_runtime.local.data_source import DataSource, find_files
from mlsql_runtime.local.json_objects import read_json
from mlsql_runtime.local.libsvm import primitive, read_libsvm
from mlsql_runtime.local.parquet_files import read_parquet
from mlsql_runtime.local.spark_types import session_zone
from mlsql_runtime.local.texts import csv_lines

_LINES = 8192


def read_table(source: DataSource) -> pa.Table:
    """All rows of a table, in memory.

    :raises DataError: when the files are not what the format says.
    """
    files = find_files(source)
    if source.format == "libsvm":
        return read_libsvm(files, source)
    if source.format == "parquet":
        return read_parquet(files, session_zone())
    return read_csv(files, source, session_zone()) if source.format == "csv" else read_json(files)


def check_width(table: pa.Table, column: str | None) -> None:
    """Whether the vectors of the column that functions will be called with have one width, as a job does.

    :raises DataError: when they differ.
    """
    if column is None or not is_vector(table.schema.field(column).type):
        return
    parts = [pc.struct_field(table.column(column), name) for name in ("type", "size", "values")]
    is_dense = pc.cast(parts[0], pa.bool_())  # 1 is dense; a comparison with a scalar would import pandas
    found = pc.min_max(pc.if_else(is_dense, pc.list_value_length(parts[2]), parts[1])).as_py()
    one_width(column, found["min"], found["max"])


def hold_out(table: pa.Table, fraction: float) -> tuple[pa.Table, pa.Table]:
    """What is left, and what is held out, each row with that probability, the same ones in every run."""
    held = np.random.default_rng(HOLD_OUT_SEED).random(table.num_rows) < fraction
    left, taken = (primitive(np.flatnonzero(part), pa.int64()) for part in (~held, held))
    return table.take(left), table.take(taken)


def write_table(table: pa.Table, folder: Path, format: str | None) -> TableFiles:
    """Write a table for a script as one file in ``folder``; or, without a format, as a Parquet file beside it.

    :param folder: what the script knows as ``tempDataLocalPath``. Without a format its JSON file is written on request.
    :raises DataError: when the format cannot hold a column.
    """
    path = folder if format is not None else folder.with_name(f"{folder.name}.parquet")
    path.mkdir()
    place = path / f"part-00000.{format or 'parquet'}"
    if format == "csv":
        _check_flat(table)
        _write_lines(csv_lines(table), place)
    elif format == "json":
        with place.open("wb") as file:
            for batch in table.to_batches(max_chunksize=_LINES):
                write_json_lines(batch, file)
    else:
        import pyarrow.parquet as pq

        pq.write_table(table, place)
    return TableFiles(
        path=str(path),
        format=format or "parquet",
        options=CSV_OPTIONS if format == "csv" else {},
        rows=table.num_rows,
        schema=encode_schema(table.schema),
        json_path=None if format is not None else str(folder),
    )


def _check_flat(table: pa.Table) -> None:
    for field in table.schema:
        if pa.types.is_nested(field.type):
            kind = "vector" if is_vector(field.type) else str(field.type)
            raise DataError(
                f"CSV cannot hold the column `{field.name}` of the type {kind}: "
                "set --data-format (dataLocalFormat) to json or parquet, or leave the column out",
                column=field.name,
            )


def _write_lines(lines: Iterable[str], place: Path) -> None:
    remaining = iter(lines)
    with place.open("w", encoding="utf-8", newline="\n", errors="surrogatepass") as file:
        while chunk := list(islice(remaining, _LINES)):
            file.write("\n".join(chunk) + "\n")
