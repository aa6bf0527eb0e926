"""The Parquet files of a table: which columns of them a query reads, as which types, and the pieces in which tasks read them.

A file is read by Arrow only where that gives the values that Spark would read: columns of the same type, or of a narrower one,
and missing columns, which are null.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.sql_types import is_list
from mlsql_runtime.parquet_queries.expressions import Expression, Rows, cast
from mlsql_runtime.parquet_queries.query import LeftToSpark
from mlsql_runtime.parquet_queries.statistics import is_possible, read_statistics
from mlsql_runtime.storage.location import Location

READERS = 16  # files whose footers are read at the same time
BATCH_BYTES = 32 << 20  # of rows in memory at a time
BATCH_ROWS = 10_000
BUFFER = 1 << 20  # bytes of a column of a local file that are read at a time
_CODECS = {"UNCOMPRESSED", "SNAPPY", "GZIP", "BROTLI", "LZ4", "LZ4_RAW", "ZSTD"}
_ANCIENT = (b"org.apache.spark.legacyDateTime", b"org.apache.spark.legacyINT96")  # calendars that differ from ours
_LARGE = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}  # where pandas and others have noted it in the file
_WIDER = {
    pa.int8(): (pa.int16(), pa.int32(), pa.int64()),
    pa.int16(): (pa.int32(), pa.int64()),
    pa.int32(): (pa.int64(),),
    pa.float32(): (pa.float64(),),
}


@dataclass(frozen=True)
class DataFile:
    """A file of the table. ``constants`` are the columns that its folder names, by their numbers."""

    uri: str
    constants: Mapping[int, pa.Scalar]


@dataclass(frozen=True)
class Piece:
    """A row group of a file, which has ``rows`` rows. ``names`` are the names of columns in the file, by their numbers.

    ``size`` is the number of bytes of these columns, ``uncompressed`` the same before compression, and ``column_bytes`` that of
    each, by its name.
    """

    file: DataFile
    group: int
    rows: int
    size: int
    uncompressed: int
    names: Mapping[int, str]
    column_bytes: Mapping[str, int] = dataclasses.field(default_factory=dict)


def find_pieces(
    files: Sequence[tuple[DataFile, Location]],
    columns: Mapping[int, tuple[str, pa.DataType]],
    *,
    is_case_sensitive: bool,
    reads_ancient_times: bool,
    conditions: Sequence[Expression] = (),
) -> list[Piece]:
    """Return the row groups of files, from their footers.

    :param columns: name and type of each column, by its number.
    :param conditions: on these columns; row groups without a row that may meet all of them are left out, but not all groups.
    :param reads_ancient_times: whether dates and times of files that do not say who wrote them are in today's calendar.
    :raises LeftToSpark: for a file that Spark would read in another way, with the reason.
    """

    def read_footer(file: tuple[DataFile, Location]) -> list[tuple[bool, Piece]]:
        data, location = file
        try:
            with open_parquet(location) as parquet:
                metadata = parquet.metadata
        except (pa.ArrowException, OSError) as error:
            raise LeftToSpark(f"{location.uri} cannot be read: {' '.join(str(error).split())[:200]}") from error
        wanted = {number: column for number, column in columns.items() if number not in data.constants}
        try:
            names = _match(metadata, wanted, is_case_sensitive)
            _check_times(metadata, [columns[number][1] for number in names], reads_ancient_times)
        except LeftToSpark as error:
            raise LeftToSpark(f"{location.uri}: {error}") from None
        return list(_list_groups(data, metadata, names, conditions))

    with ThreadPoolExecutor(READERS) as pool:
        found = [each for pieces in pool.map(read_footer, files) for each in pieces]
    return [piece for is_wanted, piece in found if is_wanted] or [piece for _, piece in found[:1]]


def _match(metadata: pq.FileMetaData, wanted: Mapping[int, tuple[str, pa.DataType]], is_case_sensitive: bool) -> dict[int, str]:
    """Return the file's names of columns; those that it does not have are left out."""
    schema = metadata.schema.to_arrow_schema()
    places: dict[str, list[pa.Field]] = {}
    for field in schema:
        places.setdefault(field.name if is_case_sensitive else field.name.lower(), []).append(field)
    names = {}
    for number, (name, kind) in wanted.items():
        found = places.get(name if is_case_sensitive else name.lower(), [])
        if len(found) > 1:
            raise LeftToSpark(f"it has more than one column {name}")
        if not found:
            continue
        if "." in found[0].name:
            raise LeftToSpark(f"the name of column {name} has a dot")
        if not _reads_as(found[0].type, kind):
            raise LeftToSpark(f"column {name} is {found[0].type} there, and {kind} in the table")
        names[number] = found[0].name
    return names


def _reads_as(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether Arrow reads a column of a file with the values that Spark reads."""
    if given == wanted or wanted in _WIDER.get(given, ()):
        return True
    if pa.types.is_dictionary(given):
        return _reads_as(given.value_type, wanted)
    if given in _LARGE:
        return bool(wanted == _LARGE[given])
    if is_list(given) and is_list(wanted):
        return _is_nested_same(given.value_type, wanted.value_type)
    if pa.types.is_timestamp(given) and pa.types.is_timestamp(wanted):
        return bool(given.unit in ("ms", "us") and (given.tz is None) == (wanted.tz is None))
    return _is_nested_same(given, wanted)


def _is_nested_same(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether two types differ at most in what their lists call their elements, and in what may be null."""
    if is_list(given) and is_list(wanted):
        return _is_nested_same(given.value_type, wanted.value_type)
    if pa.types.is_struct(given) and pa.types.is_struct(wanted):
        same = [field.name for field in given] == [field.name for field in wanted]
        return same and all(_is_nested_same(one.type, other.type) for one, other in zip(given, wanted, strict=True))
    return bool(given == wanted)


def _check_times(metadata: pq.FileMetaData, kinds: Sequence[pa.DataType], reads_ancient_times: bool) -> None:
    if not any(map(_has_times, kinds)):
        return
    written = metadata.metadata or {}
    if any(key in written for key in _ANCIENT):
        raise LeftToSpark("its dates or times are in the calendar of an older Spark")
    major = (written.get(b"org.apache.spark.version") or b"0").partition(b".")[0]
    if int(major or 0) in (1, 2) or (major == b"0" and not reads_ancient_times):
        raise LeftToSpark("its dates or times may be in the calendar of an older Spark")


def _has_times(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_times(kind.field(place).type) for place in range(kind.num_fields))
    return bool(pa.types.is_temporal(kind))


def _list_groups(
    file: DataFile, metadata: pq.FileMetaData, names: Mapping[int, str], conditions: Sequence[Expression]
) -> Iterator[tuple[bool, Piece]]:
    """Yield the row groups that have rows, and whether a row may meet the conditions."""
    own = set(names.values())
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if group.num_rows == 0:
            continue
        known = read_statistics(group, names) if conditions else {}
        is_wanted = all(is_possible(each, known) for each in conditions)
        chunks = [group.column(place) for place in range(group.num_columns)]
        read = [chunk for chunk in chunks if chunk.path_in_schema.partition(".")[0] in own]
        if unknown := {chunk.compression for chunk in read} - _CODECS:
            raise LeftToSpark(f"{file.uri} is compressed by {min(unknown)}")
        size = sum(chunk.total_compressed_size for chunk in read)
        column_bytes = dict.fromkeys(own, 0)
        for chunk in read:
            column_bytes[chunk.path_in_schema.partition(".")[0]] += chunk.total_uncompressed_size
        yield is_wanted, Piece(file, number, group.num_rows, size, sum(column_bytes.values()), names, column_bytes)


def pack_tasks(pieces: Sequence[Piece], cores: int, task_bytes: int, open_bytes: int) -> list[list[Piece]]:
    """Return the pieces for each task: no task is small, all cores are busy, and they are done at about the same time.

    :param task_bytes: about the most bytes for a task that has more than one piece.
    :param open_bytes: what opening a file costs, in bytes.
    """
    costs = [max(1, piece.size + open_bytes) for piece in pieces]
    share = math.ceil(sum(costs) / cores)
    rounds = math.ceil(share / min(task_bytes, max(open_bytes, share, 1)))
    tasks: list[list[Piece]] = [[] for _ in range(min(len(pieces), rounds * cores))]
    sizes = [(0, number) for number in range(len(tasks))]  # a heap
    for piece, cost in sorted(zip(pieces, costs, strict=True), key=lambda each: -each[1]):
        size, number = sizes[0]
        tasks[number].append(piece)
        heapq.heapreplace(sizes, (size + cost, number))
    return [sorted(task, key=lambda piece: (piece.file.uri, piece.group)) for task in tasks]


def read_piece(piece: Piece, location: Location, columns: Mapping[int, pa.DataType], most_rows: int) -> Iterator[Rows]:
    """Yield the rows of a row group in batches.

    :param columns: the type of each column, by its number.
    :param most_rows: of a batch.
    :raises DataError: when the file is damaged, or is not the one whose footer was read.
    """
    step = max(1, min(most_rows, BATCH_BYTES * piece.rows // max(piece.uncompressed, 1)))
    if not piece.names:  # all columns are constants or missing
        for start in range(0, piece.rows, step):
            yield _to_rows(piece, None, min(step, piece.rows - start), columns)
        return
    found = 0
    try:
        with open_parquet(location) as parquet:
            names = list(dict.fromkeys(piece.names.values()))
            for batch in parquet.iter_batches(step, row_groups=[piece.group], columns=names, use_threads=False):
                found += batch.num_rows
                for part in _split(batch):
                    yield _to_rows(piece, part, part.num_rows, columns)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{location.uri} cannot be read: {' '.join(str(error).split())[:500]}", path=location.uri) from error
    if found != piece.rows:
        raise DataError(
            f"{location.uri} was changed while it was read: its row group {piece.group} had {piece.rows} rows, now {found}; "
            "run the job again",
            path=location.uri,
            expected=piece.rows,
            found=found,
        )


def _split(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield a batch in parts: what was repeated in the file may be far bigger in memory."""
    step = max(1, batch.num_rows // (1 + batch.nbytes // BATCH_BYTES))
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)


def _to_rows(piece: Piece, batch: pa.RecordBatch | None, count: int, columns: Mapping[int, pa.DataType]) -> Rows:
    constants = piece.file.constants

    def column(number: int, kind: pa.DataType) -> pa.Array:
        if batch is not None and number in piece.names:
            return cast(batch.column(piece.names[number]), kind)
        return pa.repeat(constants[number], count) if number in constants else pa.nulls(count, kind)

    return Rows(count, {number: column(number, kind) for number, kind in columns.items()})


@contextlib.contextmanager
def open_parquet(location: Location) -> Iterator[pq.ParquetFile]:
    """Open a file. Of a local one a few megabytes are in memory; of a remote one, read in few large requests, the columns of a
    row group, compressed. A mapped file that is cut off would end the process.
    """
    with contextlib.ExitStack() as opened:
        source: Any = location.path if location.is_local else opened.enter_context(location.open())
        parquet = pq.ParquetFile(source, pre_buffer=not location.is_local, buffer_size=BUFFER if location.is_local else 0)
        yield opened.enter_context(parquet)
