"""Facts about a table, measured by the Spark job that moves it: rows, columns, the width of its feature vectors."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlsql_runtime.errors import DataError

_UNHASHABLE = ("map<", "variant")  # types that Spark cannot hash
_PRIME = (1 << 31) - 1  # four billion rows cannot overflow a sum of these
HOLD_OUT_SEED = 20170707  # the same rows are held out in every run

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


@dataclass(frozen=True, kw_only=True)
class TableFacts:
    """``schema`` is Arrow's IPC schema message in base64; ``columns`` maps names to Spark's types; ``width`` is the length of the
    feature vectors, None without any.
    """

    rows: int
    schema: str
    columns: Mapping[str, str]
    width: int | None


@dataclass(frozen=True, kw_only=True)
class TableIdentity:
    """What an attempt notes of its prepared table, without the writer's options: the plan has them, and they may be secret.

    ``content`` is equal for equal tables, None when that cannot be known. ``uri`` is the folder of its files, from which a later
    attempt restores it; None when it has to be prepared again.
    """

    facts: TableFacts
    content: str | None = None
    uri: str | None = None
    has_lazy_json: bool = False

    def is_same_as(self, other: TableIdentity) -> bool:
        """Return whether both are known to be one table: equal facts alone prove nothing."""
        return self == other and self.is_known

    @property
    def is_known(self) -> bool:
        return self.content is not None or self.uri is not None


def quote_column(column: str) -> str:
    """Return a column's name quoted for SQL."""
    return "`" + column.replace("`", "``") + "`"


class TableObservation:
    """An observation of ``df`` by the Spark job that reads ``table``; its facts are available afterwards.

    :param feature_column: the column whose vectors are measured, if the table has it.
    :param with_content: also sum hashes of the rows, which are equal for equal tables in any order.
    """

    def __init__(self, df: DataFrame, feature_column: str | None, with_content: bool = False) -> None:
        from pyspark.ml.linalg import VectorUDT
        from pyspark.sql import Observation
        from pyspark.sql import functions as F

        self._column = feature_column
        types = {field.name: field.dataType for field in df.schema}
        self._has_vectors = isinstance(types.get(feature_column or ""), VectorUDT)
        facts = [F.count(F.lit(1)).alias("rows")]
        if feature_column is not None and self._has_vectors:
            vector = F.unwrap_udt(F.col(quote_column(feature_column)))
            width = F.when(vector["type"] == 1, F.size(vector["values"])).otherwise(vector["size"])
            facts += [F.min(width).alias("narrowest"), F.max(width).alias("widest")]
        self._has_content = with_content and not any(kind in df.schema.simpleString() for kind in _UNHASHABLE)
        if self._has_content:
            columns = [F.col(quote_column(name)) for name in df.columns]
            rows = F.xxhash64(*columns, *[column.isNull() for column in columns])  # the hash itself ignores nulls
            facts.append(F.sum(F.pmod(rows, F.lit(_PRIME))).alias("content"))
        self._df = df
        self._observation = Observation()
        self.table = df.observe(self._observation, *facts)

    def facts(self) -> TableFacts:
        """Return the facts, once the job is done.

        :raises DataError: when vectors differ in width.
        """
        observed: dict[str, Any] = self._observation.get
        return TableFacts(
            rows=observed["rows"],
            schema=encode_schema(arrow_schema(self._df)),
            columns={field.name: field.dataType.simpleString() for field in self._df.schema},
            width=one_width(self._column, observed["narrowest"], observed["widest"]) if self._has_vectors else None,
        )

    def content(self) -> str | None:
        """Return text that is equal for equal tables, once the job is done; None when the table holds what Spark cannot hash."""
        if not self._has_content:
            return None
        observed: dict[str, Any] = self._observation.get
        return f"{observed['rows']} {observed['content'] or 0:x} {self._df.schema.json()}"


def arrow_schema(df: DataFrame) -> pa.Schema:
    """Return a table's columns as Arrow fields, times in the session's zone.

    :raises PySparkException: when Arrow has no type for one.
    """
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema

    zone = df.sparkSession.conf.get("spark.sql.session.timeZone")
    if "timezone" in inspect.signature(to_arrow_schema).parameters:
        return to_arrow_schema(df.schema, timezone=zone)
    return pa.schema([field.with_type(in_zone(field.type, zone)) for field in to_arrow_schema(df.schema)])


def in_zone(kind: pa.DataType, zone: str | None) -> pa.DataType:
    """Return an Arrow type with its instants in another time zone. PySpark 4.1 has them all in UTC."""
    import pyarrow as pa

    def convert(field: pa.Field) -> pa.Field:
        return field.with_type(in_zone(field.type, zone))

    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, zone)
    if pa.types.is_list(kind):
        return pa.list_(convert(kind.value_field))
    if pa.types.is_map(kind):
        return pa.map_(convert(kind.key_field), convert(kind.item_field))
    return pa.struct([convert(field) for field in kind]) if pa.types.is_struct(kind) else kind


def encode_schema(schema: Any) -> str:
    """Return an Arrow schema as text."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def decode_schema(text: str) -> pa.Schema:
    """Return the Arrow schema of :func:`encode_schema`."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def one_width(column: str | None, narrowest: int, widest: int) -> int:
    """Return the width of all vectors of a column.

    :raises DataError: when they differ.
    """
    if narrowest != widest:
        raise DataError(
            f"column '{column}' holds vectors of different widths, from {narrowest} to {widest}; "
            "a training table needs one width (for libsvm files, give the option numFeatures)"
        )
    return widest
