"""Convert an Arrow table to rows, for scripts that use MLSQL's row protocol."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlsql_runtime.errors import InputError
from mlsql_runtime.feed.decoding.sql_types import is_list
from mlsql_runtime.feed.decoding.vectors import SPARSE, is_vector, iter_serialized
from mlsql_runtime.feed.table_facts import in_known_zone


class Row(tuple[Any, ...]):
    """A row, which is used as one of PySpark: ``row.label``, ``row["label"]``, ``row[0]``, ``row.asDict()``.

    It unpacks to its values. The columns of a table are properties of a class of its own.
    """

    __slots__ = ()
    __fields__: tuple[str, ...] = ()  # PySpark's name
    _places: dict[str, int] = {}
    if TYPE_CHECKING:  # the columns

        def __getattr__(self, name: str) -> Any: ...

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return tuple.__getitem__(self, key)
        if key not in self._places:
            raise KeyError(f"{key}; the columns are {', '.join(self.__fields__)}")
        return tuple.__getitem__(self, self._places[key])

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={value!r}' for name, value in zip(self.__fields__, self, strict=True))})"

    def __reduce__(self) -> Any:
        return restore_row, (self.__fields__, tuple(self))

    def asDict(self, recursive: bool = False) -> dict[str, Any]:  # noqa: N802 - PySpark's name
        """Return the values by column. With ``recursive``, rows among the values become dicts, too."""
        return dict(zip(self.__fields__, map(_to_dicts, self) if recursive else self, strict=True))


def _to_dicts(value: Any) -> Any:
    if isinstance(value, Row):
        return value.asDict(recursive=True)
    if isinstance(value, list):
        return [_to_dicts(item) for item in value]
    if isinstance(value, dict):
        return {key: _to_dicts(item) for key, item in value.items()}
    return value


def restore_row(names: tuple[str, ...], values: Sequence[Any]) -> Row:
    """Return a row. Pickles of rows name this function."""
    return tuple.__new__(_row_class(names), values)


@functools.lru_cache(maxsize=64)
def _row_class(names: tuple[str, ...]) -> type[Row]:
    columns = {name: property(_getter(place)) for place, name in enumerate(names) if name != "asDict"}
    own = {"__slots__": (), "__fields__": names, "_places": {name: place for place, name in enumerate(names)}}
    return type("Row", (Row,), {name: value for name, value in columns.items() if not name.startswith("__")} | own)


def _getter(place: int) -> Callable[[Row], Any]:
    return lambda row: tuple.__getitem__(row, place)


def to_rows(table: pa.Table) -> list[Row]:
    """Return the rows. Their vectors are those of ``pyspark.ml.linalg``, structs are rows, and maps are dicts.

    :raises InputError: when there are vectors and the interpreter has no pyspark.
    """
    table = in_known_zone(table)
    make = functools.partial(tuple.__new__, _row_class(tuple(table.column_names)))
    return list(map(make, zip(*(_to_values(table.column(name).combine_chunks()) for name in table.column_names), strict=True)))


def _to_values(array: pa.Array) -> list[Any]:
    kind = array.type
    if is_vector(kind):
        return [None if row is None else _to_vector(*row) for row in iter_serialized(array)]
    values: list[Any] = array.to_pylist()
    if pa.types.is_nested(kind) and not (is_list(kind) and not pa.types.is_nested(kind.value_type)):
        return [_to_value(value, kind) for value in values]
    return values


def _to_value(value: Any, kind: pa.DataType) -> Any:
    """Return a value of Arrow as PySpark has it."""
    if value is None or not pa.types.is_nested(kind):
        return value
    if is_vector(kind):
        return _to_vector(value["type"], value["size"], value["indices"], value["values"])
    if pa.types.is_struct(kind):
        return restore_row(tuple(field.name for field in kind), [_to_value(value[field.name], field.type) for field in kind])
    if pa.types.is_map(kind):
        pairs = [(key, _to_value(item, kind.item_type)) for key, item in value]
        return pairs if pa.types.is_nested(kind.key_type) else dict(pairs)
    return [_to_value(item, kind.value_type) for item in value]


def _to_vector(kind: int, size: int | None, indices: list[int] | None, values: list[float]) -> Any:
    linalg = _import_linalg()
    return linalg.SparseVector(size, indices, values) if kind == SPARSE else linalg.DenseVector(values)


@functools.cache
def _import_linalg() -> Any:
    try:
        from pyspark.ml import linalg
    except ImportError as error:
        raise InputError(
            "mlsql.read_data() gives vectors of pyspark.ml.linalg, and this interpreter has no pyspark; "
            "install it, or use mlsql.read_batches() or mlsql.all_data(), which give arrays"
        ) from error
    return linalg
