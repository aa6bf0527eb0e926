"""The type that a predict script declares for its results, in the words of SQL.

Spark reads it, and can do so only in a session. The usual types are read here, so that a registration needs no session for them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from mlsql_runtime.errors import InputError, SessionNeeded
from mlsql_runtime.feed.decoding.sql_types import name_type, parse_type
from mlsql_runtime.feed.decoding.vectors import is_vector
from mlsql_runtime.store.function_types import VECTOR

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import DataType

_EXAMPLES = "'vector', 'double', 'string', 'array<double>', 'struct<label: string, probability: double>'"
_SPACE = re.compile(r"\s*([<>,:()])\s*")
_TYPE = re.compile(r"(?:\w| )+(?=[<>,(]|$)")  # a name before a colon is that of a field
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")  # needs no quotes in SQL
_LONG_NAMES = {"integer": "int", "long": "bigint", "short": "smallint", "byte": "tinyint", "real": "float"}


def read_return_type(declared: str, spark: SparkSession | None) -> str:
    """Return ``returns`` of ``python_fun.batch_udf`` in the form of Spark's ``simpleString``; ``vector`` as it is.

    :raises SessionNeeded: for a type that only a session can read, when there is none.
    :raises InputError: when it is not a type, one that Arrow does not have, or a struct with two fields of one name.
    """
    from pyspark.errors import ParseException
    from pyspark.sql.types import DataType

    if declared.strip().lower() == VECTOR:
        return VECTOR
    if (usual := read_usual_type(declared)) is not None:
        return usual
    if spark is None:
        raise SessionNeeded(f"only Spark can read the type returns={declared!r}")
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


def read_usual_type(declared: str) -> str | None:
    """Do :func:`read_return_type` without Spark; return None for a type that needs it."""
    text = _TYPE.sub(lambda match: _LONG_NAMES.get(match[0].lower(), match[0].lower()), _SPACE.sub(r"\1", declared.strip()))
    try:
        kind = parse_type(text)
    except ValueError:  # of Arrow: such as decimal(50,0)
        return None
    return text if name_type(kind) == text and _is_supported(kind) and _is_usual(kind) else None


def _is_usual(kind: pa.DataType) -> bool:
    if pa.types.is_decimal(kind):
        return bool(kind.scale <= kind.precision)
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        if len({name.lower() for name in names}) < len(names) or not all(map(_NAME.fullmatch, names)):
            return False
    return not is_vector(kind) and all(_is_usual(kind.field(position).type) for position in range(kind.num_fields))


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
