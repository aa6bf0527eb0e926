"""Read the files of a table as Arrow batches, by format. Memory holds a few megabytes of a file of any size."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from mlsql_runtime.errors import DataError, InputError
from mlsql_runtime.feed.decoding.json_lines import read_json_file
from mlsql_runtime.feed.files.table import TableFiles, data_files

READ_ROWS, READ_BYTES = 8192, 4 << 20  # of Parquet at a time, bytes before compression; whichever is less
BUFFER = 1 << 20  # bytes of a column that are read at a time


def read_files(table: TableFiles, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield all rows of a table; see :meth:`TableFiles.read`."""
    readers: dict[str, Callable[[str], Iterator[pa.RecordBatch]]] = {
        "json": lambda path: read_json_file(path, schema, columns),
        "parquet": lambda path: read_parquet(path, columns),
        "csv": lambda path: _read_csv(path, schema, columns, table.options),
        "orc": lambda path: _read_orc(path, columns),
    }
    if table.format not in readers:
        raise InputError(
            f"the data are in format {table.format}, which mlsql's readers do not read; read the files in "
            f"tempDataLocalPath yourself, or set dataLocalFormat to one of {', '.join(readers)}"
        )
    found = 0
    for path in data_files(table.path):
        with named_errors(path):
            for batch in readers[table.format](path) if _has_content(path) else ():
                found += batch.num_rows
                yield batch
    if found != table.rows:
        raise DataError(
            f"{table.path}: Spark wrote {table.rows} rows, the script was offered {found}", expected=table.rows, found=found
        )


@contextlib.contextmanager
def named_errors(path: str) -> Iterator[None]:
    """Raise DataError for what Arrow raises because of a file's content. Its OSErrors have no number; those of the disk do.
    UnicodeDecodeError is for names of columns.
    """
    try:
        yield
    except (pa.ArrowException, EOFError, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{path} is damaged: {' '.join(str(error).split())[:500]}") from error


def _has_content(path: str) -> bool:
    """Return whether a file has any content: Spark writes an empty one, perhaps compressed, for an empty partition."""
    with pa.input_stream(path, compression="detect") as stream:
        return bool(stream.read(1))


def read_parquet(path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file in batches of at most READ_ROWS rows and about READ_BYTES bytes."""
    import pyarrow.parquet as pq

    options = {"pre_buffer": False, "buffer_size": BUFFER}  # else a whole row group is in memory
    with pq.ParquetFile(path, coerce_int96_timestamp_unit="us", **options) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        row_bytes = sum(group.total_byte_size for group in groups) // max(file.metadata.num_rows, 1)
        rows = max(1, min(READ_ROWS, READ_BYTES // max(row_bytes, 1)))
        yield from file.iter_batches(batch_size=rows, columns=list(columns))


def _read_orc(path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    from pyarrow import orc

    file = orc.ORCFile(path)
    names = [name for name in columns if name in file.schema.names]
    for stripe in range(file.nstripes):
        yield file.read_stripe(stripe, names or None)  # a batch without columns would have no rows


def _read_csv(path: str, schema: pa.Schema, columns: Sequence[str], given: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    options = {key.lower(): value for key, value in given.items()}
    separator = options.get("sep", options.get("delimiter", ",")).replace("\\t", "\t").replace("\\\\", "\\")
    quote = options.get("quote", '"')
    escape = options.get("escape", "\\")
    encoding, line_end = options.get("encoding", options.get("charset", "utf-8")), options.get("linesep", "\n")
    if len(separator.encode()) != 1 or encoding.lower() not in ("utf-8", "utf8") or line_end != "\n":
        raise InputError(
            "mlsql's readers take CSV files in UTF-8 with one ASCII character between fields and lines that end with \\n; "
            f"got {encoding}, {separator!r} and {line_end!r}; leave these options out, or use another format"
        )
    parse = csv.ParseOptions(
        delimiter=separator,
        quote_char=quote or False,
        escape_char=False if escape in ("", quote) else escape,
        newlines_in_values=True,
    )
    convert = csv.ConvertOptions(
        column_types=schema,
        include_columns=list(columns),
        null_values=[options.get("nullvalue", "")],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    header = csv.ReadOptions(column_names=schema.names, skip_rows=1 if options.get("header", "").lower() == "true" else 0)
    with pa.input_stream(path, compression="detect") as stream:
        try:
            yield from csv.open_csv(stream, header, parse, convert)
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: {str(error)[:500]}") from error
