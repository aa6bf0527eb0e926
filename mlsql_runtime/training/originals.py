"""Train from the Parquet files that a stored table is made of, without a copy of its rows, where nothing changes the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa

from mlsql_runtime.errors import IntegrityError
from mlsql_runtime.events import log
from mlsql_runtime.feed.files.export import ExportFeed, can_write_json_later
from mlsql_runtime.feed.interface import PreparedFiles
from mlsql_runtime.feed.originals.held_out import count_held_out
from mlsql_runtime.feed.originals.prepared import OriginalsTable, find_states, write_list
from mlsql_runtime.feed.originals.table import FileList, OriginalFile, RowPart
from mlsql_runtime.feed.table_facts import (
    ColumnRoles,
    TableFacts,
    TableIdentity,
    arrow_schema,
    encode_schema,
    has_classes,
    is_vector_type,
    name_columns,
)
from mlsql_runtime.parquet_queries.query import LeftToSpark, read_query
from mlsql_runtime.parquet_queries.row_groups import DataFile, Piece
from mlsql_runtime.parquet_queries.stored_files import (
    arrow_columns,
    check_setting,
    check_storages,
    explain,
    find_files,
    list_pieces,
)
from mlsql_runtime.plan import FileFeed, Train
from mlsql_runtime.preflight.hosts import local_input_paths
from mlsql_runtime.storage.location import FileState, Location
from mlsql_runtime.training.file_facts import Measured, NumberedPiece, PartFacts, measure_parts
from mlsql_runtime.training.file_strata import find_strata
from mlsql_runtime.training.stratified import refuse_type, require_label

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from mlsql_runtime.run_context import RunContext

SETTING = "spark.mlsql.trainFromFiles"
LEAST_READ = 0.25  # of the bytes of remote files: below it, Spark's copy of the columns is smaller than the files


@dataclass(frozen=True)
class StoredTable:
    """A table whose rows are those of Parquet files.

    :param columns: for each column of the table, the number of the column of the files that it is.
    :param kinds: the types of these columns, by their numbers.
    """

    table: DataFrame
    columns: tuple[int, ...]
    kinds: Mapping[int, pa.DataType]
    files: Sequence[tuple[DataFile, Location]]
    states: Mapping[str, FileState]
    pieces: Sequence[Piece]

    @property
    def rows(self) -> int:
        return sum(piece.rows for piece in self.pieces)


@dataclass(frozen=True)
class OriginalsFeed:
    """Tables reach scripts as the files in which they are stored, where that is possible, else as files that Spark writes.

    :param export: writes the files; ``place`` is in the staging folder of the training, which executors can open.
    :param has_json: whether scripts may ask for the table as JSON files.
    """

    export: ExportFeed
    statement: Train
    context: RunContext
    has_json: bool

    def restore(self, identity: TableIdentity) -> PreparedFiles | None:
        if identity.part is None or identity.uri is None or identity.content is None:
            return self.export.restore(identity)
        place = self.export.place.at(identity.uri)
        table = OriginalsTable(place, identity.content, identity.part, identity.facts, identity.has_lazy_json)
        try:
            table.check_unchanged()
        except IntegrityError as error:
            log(f"train: the files of the earlier attempt cannot be used: {error}")
            return None
        return table

    def prepare(self, table: DataFrame | None, roles: ColumnRoles) -> PreparedFiles:
        assert table is not None
        stored = self.find_stored(table)
        return self.export.prepare(table, roles) if stored is None else self.prepare_parts(stored, roles, 0.0)[0]

    def find_stored(self, table: DataFrame) -> StoredTable | None:
        """Return the files of a table; None if scripts cannot read them, and the log says why."""
        try:
            _check_statement(self.statement, self.export.feed if self.has_json else FileFeed())
            return find_stored_table(table, self.context, self.export.place.parent, self.has_json)
        except Exception as reason:
            log(f"train: Spark copies the rows for the scripts: {explain(reason)}")
            return None

    def prepare_parts(
        self, stored: StoredTable, roles: ColumnRoles, fraction: float
    ) -> tuple[OriginalsTable, OriginalsTable | None]:
        """Return the table, and the rows of it that are held out, as groups read them.

        :param fraction: of the rows to hold out, or of each class if the statement says so; 0 to hold out none.
        :raises DataError: when vectors differ in width, a file is damaged, or labels are no classes.
        """
        place = self.export.place
        stratified_by = require_label(self.statement, roles.label) if self.statement.stratify and fraction > 0 else None
        return prepare_originals(stored, roles, place.parent / f"{place.name}-files.json", fraction, stratified_by, self.has_json)

    def remove(self) -> None:
        """Remove nothing: the files are not ours, and their list is part of the attempt's staging folder."""


def _check_statement(statement: Train, feed: FileFeed) -> None:
    """Check that scripts may read a table's own files.

    :raises LeftToSpark: when the statement asks for files of its own.
    """
    if feed != FileFeed():
        raise LeftToSpark("the statement says how its data files are to be written")
    if statement.keep_local_directory:
        raise LeftToSpark("the table is to be kept with the local directory")


def find_stored_table(table: DataFrame, context: RunContext, stage: Location, has_json: bool) -> StoredTable:
    """Return the files of a table.

    :param stage: the staging folder of the training, which executors can open.
    :param has_json: whether scripts may ask for the table as JSON files.
    :raises LeftToSpark: when the table is more than columns of plain Parquet files, or groups may not be able to read them.
    """
    spark = context.spark
    check_setting(spark, SETTING)
    query = read_query(table)
    columns = query.plain_columns
    if len({name.lower() for name in table.columns}) < len(table.columns):
        raise LeftToSpark("two of its columns have the same name")
    if has_json and not can_write_json_later(table, FileFeed()):
        raise LeftToSpark("a column has a type of which only Spark writes the JSON")
    files = sorted(find_files(query, spark, context.access), key=lambda file: file[0].uri)
    check_storages(files, spark, {stage.storage}, "not even the model path")
    if len({place.storage for _, place in files}) > 1:
        raise LeftToSpark("its files are in more than one storage")
    _check_local_paths(files, context)
    found = dict(zip((file.uri for file, _ in files), find_states([place for _, place in files]), strict=True))
    states = {uri: state for uri, state in found.items() if state is not None}
    if missing := found.keys() - states.keys():
        raise LeftToSpark(f"{min(missing)} is not there")
    pieces = list_pieces(query, files, spark)
    kinds = {number: kind for number, (_, kind) in arrow_columns(query, spark).items()}
    if not files[0][1].is_local:
        read, size = sum(piece.size for piece in pieces), sum(state.size for state in states.values())
        if read < LEAST_READ * size:
            raise LeftToSpark(f"its columns are {read} bytes of {size} in its files, which groups would have to download")
    return StoredTable(table, columns, kinds, files, states, pieces)


def _check_local_paths(files: Sequence[tuple[DataFile, Location]], context: RunContext) -> None:
    """Check that all hosts have the local files, as the preflight has found for the paths that statements load.

    :raises LeftToSpark: when that is not known.
    """
    if context.is_local:
        return
    seen = [PurePosixPath(path) for path in local_input_paths(context.plan, context.index)]
    for _, place in files:
        if place.is_local and not any(PurePosixPath(place.path).is_relative_to(path) for path in seen):
            raise LeftToSpark(f"it is not known that all hosts have {place.path}")


def prepare_originals(
    stored: StoredTable,
    roles: ColumnRoles,
    place: Location,
    fraction: float,
    stratified_by: str | None,
    has_json: bool,
) -> tuple[OriginalsTable, OriginalsTable | None]:
    """Write the list of a table's files to ``place``, measure the rows, and return both parts of the table."""
    spark, schema = stored.table.sparkSession, stored.table.schema
    numbers = dict(zip(schema.names, stored.columns, strict=True))
    types = {each.name: each.dataType for each in schema}
    vectors = {numbers[name]: name for name in roles.features if is_vector_type(types[name])}
    measured = Measured(
        label=None if roles.label is None else numbers[roles.label],
        has_classes=roles.label is not None and has_classes(types[roles.label]),
        vectors=tuple(vectors),
        kinds=stored.kinds,
    )
    places = {file.uri: place for file, place in stored.files}
    firsts = accumulate((piece.rows for piece in stored.pieces), initial=0)
    numbered = [NumberedPiece(piece, places[piece.file.uri], first) for piece, first in zip(stored.pieces, firsts, strict=False)]
    strata, held = None, count_held_out(fraction, stored.rows) if fraction > 0 else 0
    if stratified_by is not None:
        if not measured.has_classes:
            raise refuse_type(stratified_by, types[stratified_by].simpleString())
        label = numbers[stratified_by]
        column = label, stored.kinds[label]
        strata, held = find_strata(numbered, column, stratified_by, schema.names.index(stratified_by), fraction, spark)
    sides = (False, True) if fraction > 0 else (False,)
    parts = [RowPart(fraction=fraction, is_held_out=side, strata=strata) for side in sides]
    found = measure_parts(numbered, measured, parts, spark)
    listed = _list_files(stored)
    digest = write_list(place, listed)
    encoded, columns = encode_schema(arrow_schema(schema, spark)), name_columns(schema)

    def make(part: RowPart, facts: PartFacts) -> OriginalsTable:
        is_training = not part.is_held_out
        table_facts = TableFacts(
            rows=stored.rows - held if is_training else held,
            schema=encoded,
            columns=columns,
            width=facts.find_width(vectors) if is_training and len(roles.features) == 1 else None,
            label=roles.label,
            label_nulls=facts.label.nulls,
            classes=None if roles.label is None else facts.label.classes,
        )
        return OriginalsTable(place, digest, part, table_facts, is_training and has_json)

    table, *others = [make(part, facts) for part, facts in zip(parts, found, strict=True)]
    return table, others[0] if others else None


def _list_files(stored: StoredTable) -> FileList:
    """Return the list of the files that have rows, in the order of the pieces."""
    by_file: dict[str, list[Piece]] = {}
    for piece in stored.pieces:
        by_file.setdefault(piece.file.uri, []).append(piece)
    places = {file.uri: place for file, place in stored.files}
    layouts: dict[tuple[str | None, ...], int] = {}
    listed = []
    for index, (uri, pieces) in enumerate(by_file.items()):
        layout = tuple(pieces[0].names.get(number) for number in stored.columns)
        constants = pieces[0].file.constants
        listed.append(
            OriginalFile(
                uri=places[uri].uri,
                path=places[uri].path if places[uri].is_local else f"{index:05}.parquet",
                size=stored.states[uri].size,
                written=stored.states[uri].written,
                rows=sum(piece.rows for piece in pieces),
                layout=layouts.setdefault(layout, len(layouts)),
                constants={
                    str(place): _to_plain(constants[number])
                    for place, number in enumerate(stored.columns)
                    if number in constants and constants[number].is_valid
                },
            )
        )
    return FileList(layouts=tuple(layouts), files=tuple(listed))


def _to_plain(value: pa.Scalar) -> str | int:
    """Return the value of a column that a folder names, as the list of files has it: days for dates."""
    plain: str | int = (value.cast(pa.int32()) if pa.types.is_date32(value.type) else value).as_py()
    return plain
