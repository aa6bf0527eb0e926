"""The type that a predict script declares for its results, in the words of SQL, read by Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mlsql_runtime.errors import InputError
from mlsql_runtime.feed.decoding.sql_types import name_type, parse_type
from mlsql_runtime.store.function_records import VECTOR

if TYPE_CHECKING:
    from pyspark.sql.types import DataType

_EXAMPLES = "'vector', 'double', 'string', 'array<double>', 'struct<label: string, probability: double>'"


def read_return_type(declared: str) -> str:
    """Return ``returns`` of ``python_fun.batch_udf`` in the form of Spark's ``simpleString``; ``vector`` as it is.

    :raises InputError: when it is not a type, one that Arrow does not have, or a struct with two fields of one name.
    """
    from pyspark.errors import ParseException
    from pyspark.sql.types import DataType

    if declared.strip().lower() == VECTOR:
        return VECTOR
    try:
        found = DataType.fromDDL(declared)
    except ParseException as error:
        raise InputError(f"returns={declared!r} is not a type of Spark; expected for example {_EXAMPLES}") from error
    _check_fields(found, declared)
    name = found.simpleString()
    kind = parse_type(name)
    if name_type(kind) != name or not _is_supported(kind):
        raise InputError(f"returns={declared!r}: functions cannot return {name}; expected for example {_EXAMPLES}")
    return name


def _is_supported(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return all(_is_supported(kind.field(position).type) for position in range(kind.num_fields)) and kind.num_fields > 0
    return not isinstance(kind, pa.OpaqueType) and not pa.types.is_null(kind)


def _check_fields(kind: DataType, declared: str) -> None:
    """Refuse structs of which SQL cannot take every field by its name."""
    from pyspark.sql.types import ArrayType, MapType, StructType

    if isinstance(kind, StructType):
        names = [field.name.lower() for field in kind]
        for field in kind:
            if names.count(field.name.lower()) > 1:
                raise InputError(f"returns={declared!r} has two fields '{field.name}'; give every field a name of its own")
            if set(field.name) & set(",:<>"):
                raise InputError(f"returns={declared!r}: the name '{field.name}' holds one of , : < >; leave them out")
            _check_fields(field.dataType, declared)
    elif isinstance(kind, ArrayType):
        _check_fields(kind.elementType, declared)
    elif isinstance(kind, MapType):
        _check_fields(kind.keyType, declared)
        _check_fields(kind.valueType, declared)
