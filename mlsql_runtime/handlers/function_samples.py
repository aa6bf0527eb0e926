"""Sample rows on which a function is tried: of a table that the registration names, or those kept with the version."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa

from mlsql_runtime.errors import DataError, InputError, find_nearest
from mlsql_runtime.feed.table_facts import quote_column
from mlsql_runtime.plan import Register
from mlsql_runtime.scoring.arguments import Columns
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.signature import Signature

if TYPE_CHECKING:
    from mlsql_runtime.run_context import RunContext

SAMPLE_ROWS = 5


def find_samples(
    statement: Register,
    context: RunContext,
    manifest: Manifest,
    signature: Signature | None,
    version_dir: Location,
    is_matrix: bool,
) -> Columns | None:
    """Return a few rows of the feature columns. None: the version has no feature columns, and no table is named.

    :param is_matrix: whether the function takes a matrix, which has no nulls: there has to be a row without any.
    :raises InputError: when no row is there to try the function on.
    """
    names = signature.names if signature else ("features",)
    if statement.sample_table is not None:
        table = _read_table(statement.sample_table, names, is_matrix, context)
        where = f"the table '{statement.sample_table}' of sample_data"
    elif signature is None:
        return None
    else:
        table, where = _read_kept(names, version_dir), f"version {manifest.version}"
    samples = None if table is None else Columns(names, tuple(table.column(name).combine_chunks() for name in names))
    if samples is not None and is_matrix and (null := samples.find_nulls()) is not None:
        samples = samples.filter(~null)
    if samples is None or len(samples) == 0:
        complete = " without nulls" if is_matrix else ""
        raise InputError(
            f"function {statement.function} cannot be tried: {where} has no sample rows{complete} of {', '.join(names)}; "
            "give sample_data, a table with these columns"
        )
    return samples.slice(0, SAMPLE_ROWS)


def _read_table(name: str, columns: tuple[str, ...], is_matrix: bool, context: RunContext) -> pa.Table:
    table = context.table(name)
    there = {each.lower() for each in table.columns}
    missing = [column for column in columns if column.lower() not in there]
    if missing:
        near = {column: find_nearest(column, table.columns) for column in missing}
        listed = ", ".join(f"'{column}'" + (f" (the nearest is '{near[column]}')" if near[column] else "") for column in missing)
        raise DataError(f"the sample table '{name}' has no column {listed}; it has {', '.join(table.columns)}", table=name)
    quoted = [quote_column(column) for column in columns]
    if is_matrix:
        table = table.filter(" and ".join(f"{column} is not null" for column in quoted))
    return table.select(*quoted).limit(SAMPLE_ROWS).toArrow().rename_columns(list(columns))


def _read_kept(columns: tuple[str, ...], version_dir: Location) -> pa.Table | None:
    place = version_dir / layout.SAMPLES
    if not place.exists():
        return None
    import pyarrow.parquet as pq

    table = pq.ParquetFile(io.BytesIO(place.read())).read()  # read_table would import pandas
    return table if set(columns) <= set(table.column_names) else None
