"""Tables without Spark: read, split and written as Spark would do it."""

from __future__ import annotations

import contextlib
import os
import zoneinfo
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import is_vector
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.table_facts import HOLD_OUT_SEED, encode_schema, one_width
from mlsql_runtime.local.csv_files import read_csv
from mlsql_runtime.local.data_source import DataSource, find_files
from mlsql_runtime.local.json_files import read_json
from mlsql_runtime.local.libsvm_files import read_libsvm, to_arrow
from mlsql_runtime.local.parquet_files import read_parquet

_LINES = 8192


def read_table(source: DataSource) -> pa.Table:
    """Return all rows of a table, in memory, with the columns that Spark would give.

    :raises DataError: when the files are not what the format says, or need Spark.
    """
    files, zone = find_files(source), find_session_zone()
    if source.format == "libsvm":
        return read_libsvm(files, source)
    if source.format == "csv":
        return read_csv(files, source, zone)
    table = read_json(files, source) if source.format == "json" else read_parquet(files, source, zone)
    seen: dict[str, str] = {}
    for name in table.column_names:
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise DataError(f"{source.path}: the column {name} already exists, as {other}; rename one of them", column=name)
    return table


def find_session_zone() -> str:
    """Return the name of the time zone that a Spark session on this machine would have."""
    for name in (os.environ.get("TZ", "").lstrip(":"), os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]):
        with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return zoneinfo.ZoneInfo(name).key
    return "UTC"


def check_width(table: pa.Table, column: str | None) -> None:
    """Raise when vectors of the feature column differ in width, as a job does.

    :raises DataError: naming both widths.
    """
    if column is None or not is_vector(table.schema.field(column).type):
        return
    parts = [pc.struct_field(table.column(column), name) for name in ("type", "size", "values")]
    is_dense = pc.cast(parts[0], pa.bool_())  # 1 is dense; a comparison with a scalar would import pandas
    found = pc.min_max(pc.if_else(is_dense, pc.list_value_length(parts[2]), parts[1])).as_py()
    one_width(column, found["min"], found["max"])


def hold_out(table: pa.Table, fraction: float) -> tuple[pa.Table, pa.Table]:
    """Split a table into the rows to train on and the rows to validate with, the same ones in every run.

    :param fraction: the probability that a row is held out.
    """
    held = np.random.default_rng(HOLD_OUT_SEED).random(table.num_rows) < fraction
    left, taken = (to_arrow(np.flatnonzero(part), pa.int64()) for part in (~held, held))
    return table.take(left), table.take(taken)


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
