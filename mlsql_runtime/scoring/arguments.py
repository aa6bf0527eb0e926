"""The arguments of a function in SQL: from what a query passes to the columns that the function takes.

A query passes the columns by position, in the order of the signature; or a struct, whose fields are the columns by name; or, to
a function that takes a matrix of numbers, a vector or an array, which is a row of the matrix. The driver compares types when
Spark has analysed the query (:mod:`mlsql_runtime.scoring.call_check`), and every Python worker compares them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError, InputError, find_nearest
from mlsql_runtime.feed.decoding.matrices import stack_features
from mlsql_runtime.feed.decoding.sql_types import holds, is_list, is_number, is_same, name_type, parse_type, widen
from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE, is_vector, to_lists
from mlsql_runtime.scoring.results import place, to_array
from mlsql_runtime.scoring.vector_operations import make_dense
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.signature import Column, Signature

_ROW = "features"  # the name of a column that is a row of a matrix
_SHOWN = 20  # columns that an error lists
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Argument:
    """An argument in a query: its type, and its name if it is a column."""

    kind: pa.DataType
    column: str | None = None


@dataclass(frozen=True)
class Columns:
    """Columns of n rows each, as a function takes them."""

    names: tuple[str, ...]
    arrays: tuple[pa.Array, ...]

    def __len__(self) -> int:
        return len(self.arrays[0])

    @property
    def table(self) -> pa.Table:
        return pa.Table.from_arrays(list(self.arrays), list(self.names))

    def filter(self, kept: Flags) -> Columns:
        """Return the rows that are kept."""
        mask = pa.array(kept)
        return Columns(self.names, tuple(array.filter(mask) for array in self.arrays))

    def slice(self, start: int, length: int) -> Columns:
        """Return some rows, without copying them."""
        return Columns(self.names, tuple(array.slice(start, length) for array in self.arrays))

    def find_nulls(self) -> Flags | None:
        """Return the rows with a null in any column, shape (n,); None when there is none."""
        found = None
        for array in self.arrays:
            null = _find_nulls(array)
            if null is not None:
                found = null if found is None else found | null
        return found

    def to_vectors(self) -> pa.StructArray:
        """Return each row as a vector: the column as it is if it is one of vectors, else dense vectors of all numbers."""
        if len(self.arrays) == 1 and is_vector(self.arrays[0].type):
            return self.arrays[0]
        null = self.find_nulls()
        given = self if null is None else self.filter(~null)
        vectors = to_array(stack_features(given.table, self.names, sparse=False), SPARK_VECTOR_TYPE, len(given))
        return vectors if null is None else place(vectors, null)


def _find_nulls(array: pa.Array) -> Flags | None:
    null = np.array(array.is_null(), dtype=bool) if array.null_count else None
    if is_list(array.type) and (inside := array.flatten()).null_count:
        null = np.zeros(len(array), dtype=bool) if null is None else null
        null[pc.list_parent_indices(array).filter(inside.is_null()).to_numpy(zero_copy_only=False)] = True
    return null


@dataclass(frozen=True)
class _Source:
    """Where a column comes from: an argument, or a field of one; and the type to widen it to, None to leave it as it is."""

    argument: int
    field: int | None = None
    wanted: pa.DataType | None = None


@dataclass(frozen=True)
class Call:
    """How the arguments of a query become the columns of a function."""

    function: str
    names: tuple[str, ...]
    sources: tuple[_Source, ...]

    def collect(self, arguments: Sequence[pa.Array]) -> Columns:
        """Return the columns.

        :raises DataError: for a number that the column's type cannot hold.
        """
        columns = (self._column(name, source, arguments) for name, source in zip(self.names, self.sources, strict=True))
        return Columns(self.names, tuple(columns))

    def _column(self, name: str, source: _Source, arguments: Sequence[pa.Array]) -> pa.Array:
        given = arguments[source.argument]
        if source.field is not None:
            given = pc.struct_field(given, [source.field]) if given.null_count else given.field(source.field)
        if source.wanted is None:
            return given
        try:
            return _convert(given, source.wanted)
        except pa.ArrowInvalid as error:
            wanted = name_type(source.wanted)
            raise DataError(f"function {self.function}: column '{name}' cannot be {wanted} without loss: {error}") from error


@dataclass(frozen=True)
class Parameters:
    """The columns that a function takes, in the order of its signature.

    :param takes_rows: whether a vector or an array of numbers may be passed instead, a row of the function's matrix.
    :param keeps_vectors: whether a vector or an array in place of the other reaches the function as it is: a matrix is made
        of both.
    """

    function: str
    names: tuple[str, ...]
    kinds: tuple[pa.DataType, ...]
    takes_rows: bool
    keeps_vectors: bool

    @property
    def width(self) -> int | None:
        """The values of a row, None if the types do not say it."""
        is_single = all(is_number(kind) or pa.types.is_temporal(kind) for kind in self.kinds)
        return len(self.names) if self.names and is_single else None

    @property
    def has_text(self) -> bool:
        """Whether a value of a column may be of any size, such as text."""
        return any(not (_is_numeric(kind) or pa.types.is_temporal(kind)) for kind in self.kinds)

    @classmethod
    def of(cls, record: FunctionRecord) -> Parameters:
        """Return what a package's function takes."""
        features = record.signature.features if record.signature else ()
        kinds = tuple(parse_type(column.type) for column in features)
        is_matrix = record.input == "matrix"
        return cls(
            function=record.function,
            names=tuple(column.name for column in features),
            kinds=kinds,
            takes_rows=is_matrix and all(map(_is_numeric, kinds)),
            keeps_vectors=is_matrix,
        )

    def describe(self) -> str:
        """Return the columns with their types, or what a function without a signature takes."""
        return _list_columns(zip(self.names, self.kinds, strict=True)) or "a vector or an array of numbers"

    def match(self, arguments: Sequence[Argument]) -> Call:
        """Return how these arguments become the columns.

        :raises InputError: naming every column that is missing or of another type, what the function takes and what it got.
        """
        first = arguments[0].kind if len(arguments) == 1 else None
        if first is not None and self._is_row(first):
            return Call(self.function, self.names if len(self.names) == 1 else (_ROW,), (_Source(0, wanted=_row_type(first)),))
        if not self.names:
            raise self._refuse([], arguments)
        if first is not None and self._is_by_name(first):
            return self._match_fields(first, arguments)
        return self._match_positions(arguments)

    def _is_row(self, kind: pa.DataType) -> bool:
        is_column = len(self.kinds) == 1 and (is_same(self.kinds[0], kind) or pa.types.is_null(kind))
        is_void = pa.types.is_null(kind) and not self.names
        return self.takes_rows and not is_column and (is_void or (_is_numeric(kind) and not is_number(kind)))

    def _is_by_name(self, kind: pa.DataType) -> bool:
        is_struct = pa.types.is_struct(kind) and not is_vector(kind)
        return is_struct and not (len(self.kinds) == 1 and is_same(self.kinds[0], kind))

    def _match_positions(self, arguments: Sequence[Argument]) -> Call:
        if len(arguments) != len(self.names):
            counted = "1 column" if len(arguments) == 1 else f"{len(arguments)} columns"
            raise self._refuse([f"{counted}, expected {len(self.names)}"], arguments)
        others = {name.lower() for name in self.names}
        problems = []
        for position, (name, wanted, argument) in enumerate(zip(self.names, self.kinds, arguments, strict=True), 1):
            column = (argument.column or name).lower()
            if column != name.lower() and column in others:
                problems.append(f"argument {position} is the column '{argument.column}', expected '{name}'")
            elif not _accepts(wanted, argument.kind):
                problems.append(f"'{name}', argument {position}, is {name_type(argument.kind)}, expected {name_type(wanted)}")
        if problems:
            raise self._refuse(problems, arguments)
        sources = (
            self._source(position, None, wanted, argument.kind)
            for position, (wanted, argument) in enumerate(zip(self.kinds, arguments, strict=True))
        )
        return Call(self.function, self.names, tuple(sources))

    def _match_fields(self, struct: pa.StructType, arguments: Sequence[Argument]) -> Call:
        problems, sources = [], []
        unused = {each.name for each in struct} - set(self.names)
        for name, wanted in zip(self.names, self.kinds, strict=True):
            found = _find_fields(struct, name)
            if len(found) != 1:
                near = find_nearest(name, unused)
                hint = f", the nearest is '{near}'" if near else ""
                problems.append(f"'{name}' occurs {len(found)} times" if found else f"'{name}' is missing{hint}")
                continue
            kind = struct.field(found[0]).type
            if not _accepts(wanted, kind):
                problems.append(f"'{name}' is {name_type(kind)}, expected {name_type(wanted)}")
            sources.append(self._source(0, found[0], wanted, kind))
        if problems:
            raise self._refuse(problems, arguments)
        return Call(self.function, self.names, tuple(sources))

    def _source(self, argument: int, position: int | None, wanted: pa.DataType, given: pa.DataType) -> _Source:
        is_other_kind = is_vector(wanted) != is_vector(given) and not pa.types.is_null(given)
        keeps = is_same(wanted, given) or (is_other_kind and self.keeps_vectors)
        return _Source(argument, position, None if keeps else wanted)

    def _refuse(self, problems: Sequence[str], arguments: Sequence[Argument]) -> InputError:
        ways = [*(["in this order", "as a struct"] if len(self.names) > 1 else []), *(["as a vector"] if self.takes_rows else [])]
        hint = f", {' or '.join(ways)}" if len(self.names) > 1 else ""
        first = arguments[0].kind if len(arguments) == 1 else None
        if first is not None and pa.types.is_struct(first) and not is_vector(first):
            got = f"a struct of {_list_columns((each.name, each.type) for each in first)}"
        else:
            got = _list_columns((argument.column or "", argument.kind) for argument in arguments) or "no arguments"
        what = f"function {self.function} is called with what it does not take"
        return InputError(f"{what}: {'; '.join([*problems, ''])}expected {self.describe()}{hint}, got {got}")


def find_text_columns(signature: Signature) -> list[Column]:
    """Return the feature columns that a matrix of numbers cannot hold."""
    return [column for column in signature.features if not _is_numeric(parse_type(column.type))]


def _is_numeric(kind: pa.DataType) -> bool:
    """Return whether a column of the type is one or several columns of a matrix."""
    return is_vector(kind) or is_number(kind) or (is_list(kind) and is_number(kind.value_type))


def _row_type(kind: pa.DataType) -> pa.DataType | None:
    """Return the type to widen a row of a matrix to, None to leave it as it is."""
    if pa.types.is_null(kind):
        return SPARK_VECTOR_TYPE
    is_exact = is_list(kind) and pa.types.is_decimal(kind.value_type)
    return pa.list_(pa.field("element", pa.float64())) if is_exact else None


def _accepts(wanted: pa.DataType, given: pa.DataType) -> bool:
    """Return whether a column of a type can be passed for one of another type: an array of numbers is a vector, too."""
    if is_vector(wanted) or is_vector(given):
        other = given if is_vector(wanted) else wanted
        return is_vector(other) or pa.types.is_null(given) or (is_list(other) and is_number(other.value_type))
    return holds(wanted, given)


def _convert(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Return a column as one of a type that accepts it."""
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), wanted)
    if is_vector(wanted) and not is_vector(column.type):
        return make_dense(column)
    if is_vector(column.type) and not is_vector(wanted):
        return to_lists(column)
    return widen(column, wanted)


def _find_fields(struct: pa.StructType, name: str) -> list[int]:
    """Return the positions of the fields of a name; of another case only if no field has this one."""
    exact = [position for position, each in enumerate(struct) if each.name == name]
    return exact or [position for position, each in enumerate(struct) if each.name.lower() == name.lower()]


def _list_columns(columns: Iterable[tuple[str, pa.DataType]]) -> str:
    texts = [f"{name} {name_type(kind)}".strip() for name, kind in columns]
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
