"""Read the rows of a stored table from its own files as Arrow batches. Memory holds a few megabytes of a file of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from mlsql_runtime.errors import DataError, IntegrityError
from mlsql_runtime.feed.files.formats import READ_ROWS, named_errors, read_parquet
from mlsql_runtime.feed.originals.held_out import mark_rows
from mlsql_runtime.feed.originals.table import FileList, OriginalFile, TableOriginals


def read_originals(table: TableOriginals, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield all rows of a table; see :meth:`TableOriginals.read`."""
    found = 0
    for batches in read_each_file(table, schema, columns):
        for batch in batches:
            found += batch.num_rows
            yield batch
    if found != table.rows:
        raise DataError(
            f"{table.path}: the table had {table.rows} rows, the script was offered {found}", expected=table.rows, found=found
        )


def read_each_file(table: TableOriginals, schema: pa.Schema, columns: Sequence[str]) -> Iterator[Iterator[pa.RecordBatch]]:
    """Yield the batches of each file."""
    listed = table.read_list()
    first, places = 0, [schema.get_field_index(name) for name in columns]
    for file in listed.files:
        yield _read_file(table, listed, file, first, schema, places)
        first += file.rows


def _read_file(
    table: TableOriginals, listed: FileList, file: OriginalFile, first: int, schema: pa.Schema, places: Sequence[int]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file that belong to the table's part.

    :param first: the number of the file's first row.
    :param schema: of the whole table.
    :param places: of the columns to read, in the table.
    """
    layout, strata = listed.layouts[file.layout], table.part.strata
    needed = dict.fromkeys([*places, *([] if strata is None else [strata.label])])
    names = list(dict.fromkeys(name for place in needed if (name := layout[place]) is not None))
    found = 0
    path = table.find_path(file)
    with named_errors(file.uri):
        for batch in read_parquet(path, names) if names else _count_rows(file.rows):
            columns = {
                place: _column(batch, layout[place], file.constants.get(str(place)), schema.field(place).type) for place in needed
            }
            rows = pa.RecordBatch.from_arrays([columns[place] for place in places], names=[schema.names[at] for at in places])
            if not table.part.is_whole:
                labels = None if strata is None else columns[strata.label].cast(schema.field(strata.label).type)
                rows = rows.filter(pa.array(mark_rows(table.part, first + found, batch.num_rows, labels)))
            found += batch.num_rows
            yield rows
    if found != file.rows:
        raise IntegrityError(
            f"{file.uri} was changed while it was trained from: it had {file.rows} rows, now {found}; run the task again",
            path=file.uri,
            expected=file.rows,
            found=found,
        )


def _column(batch: pa.RecordBatch, name: str | None, constant: str | int | None, kind: pa.DataType) -> pa.Array:
    if name is not None:
        return batch.column(name)
    if constant is None:
        return pa.nulls(batch.num_rows, kind)
    stored = pa.int32() if pa.types.is_date32(kind) else kind
    return pa.repeat(pa.scalar(constant, stored), batch.num_rows).cast(kind)


def _count_rows(rows: int) -> Iterator[pa.RecordBatch]:
    """Yield batches without columns, for files that have none of those that are read."""
    for start in range(0, rows, READ_ROWS):
        yield pa.RecordBatch.from_struct_array(pa.array([{}] * min(READ_ROWS, rows - start), pa.struct([])))
