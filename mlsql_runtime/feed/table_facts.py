"""Facts about a table, measured by the Spark job that moves it: rows, columns, the width of feature vectors, labels."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlsql_runtime import codec
from mlsql_runtime.errors import DataError, FormatError
from mlsql_runtime.feed.originals.table import RowPart
from mlsql_runtime.store.signature import MAX_CLASS_LENGTH, MAX_CLASSES, Class

_UNHASHABLE = ("map<", "variant")  # types that Spark cannot hash
_PRIME = (1 << 31) - 1  # four billion rows cannot overflow a sum of these
HOLD_OUT_SEED = 20170707  # the same rows are held out in every run

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import StructType


@dataclass(frozen=True, kw_only=True)
class ColumnRoles:
    """The columns of a table that a training learns from, and the one with the label; None for a table without labels."""

    features: tuple[str, ...] = ()
    label: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The features, then the label."""
        return self.features if self.label is None else (*self.features, self.label)


@dataclass(frozen=True, kw_only=True)
class TableFacts:
    """``schema`` is Arrow's IPC schema message in base64; ``columns`` maps names to Spark's types; ``width`` is the length of the
    vectors of the only feature column, None if it has none. ``label`` is the label column, ``label_nulls`` the number of its
    nulls, and ``classes`` are its values as a :class:`~mlsql_runtime.store.signature.Signature` has them.
    """

    rows: int
    schema: str
    columns: Mapping[str, str]
    width: int | None
    label: str | None = field(default=None, metadata=codec.ADDED)
    label_nulls: int = field(default=0, metadata=codec.ADDED)
    classes: tuple[Class, ...] | None = field(default=None, metadata=codec.ADDED)


@dataclass(frozen=True, kw_only=True)
class TableIdentity:
    """What an attempt notes of its prepared table, without the writer's options: the plan has them, and they may be secret.

    ``content`` is equal for equal tables, None when that cannot be known. ``uri`` is the folder of its files, from which a later
    attempt restores it; None when it has to be prepared again. ``part`` are the rows of a stored table; then ``uri`` is the list
    of its files, and ``content`` the digest of the list.
    """

    facts: TableFacts
    content: str | None = None
    uri: str | None = None
    has_lazy_json: bool = False
    part: RowPart | None = field(default=None, metadata=codec.ADDED)

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

    :param roles: the columns of the table whose vectors are measured and whose labels are counted.
    :param with_content: also sum hashes of the rows, which are equal for equal tables in any order.
    """

    def __init__(self, df: DataFrame, roles: ColumnRoles, with_content: bool = False) -> None:
        from pyspark.sql import Observation
        from pyspark.sql import functions as F
        from pyspark.sql.types import StringType

        self._roles, self._schema = roles, _encode(df)
        types = {field.name: field.dataType for field in df.schema}
        self._vectors = [name for name in roles.features if is_vector_type(types[name])]
        facts = [F.count(F.lit(1)).alias("rows")]
        for place, name in enumerate(self._vectors):
            vector = F.unwrap_udt(F.col(quote_column(name)))
            width = F.when(vector["type"] == 1, F.size(vector["values"])).otherwise(vector["size"])
            facts += [F.min(width).alias(f"narrowest{place}"), F.max(width).alias(f"widest{place}")]
        if roles.label is not None:
            facts.append(F.count(F.col(quote_column(roles.label))).alias("labels"))
            if has_classes(types[roles.label]):
                is_text = isinstance(types[roles.label], StringType)
                facts.append(_frequent_values(roles.label, is_text).alias("frequent"))
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
        widths = [
            one_width(name, observed[f"narrowest{place}"], observed[f"widest{place}"]) for place, name in enumerate(self._vectors)
        ]
        return TableFacts(
            rows=observed["rows"],
            schema=self._schema,
            columns=name_columns(self._df.schema),
            width=widths[0] if widths and len(self._roles.features) == 1 else None,
            label=self._roles.label,
            label_nulls=0 if self._roles.label is None else observed["rows"] - observed["labels"],
            classes=_read_classes(observed),
        )

    def content(self) -> str | None:
        """Return text that is equal for equal tables, once the job is done; None when the table holds what Spark cannot hash."""
        if not self._has_content:
            return None
        observed: dict[str, Any] = self._observation.get
        return f"{observed['rows']} {observed['content'] or 0:x} {self._df.schema.json()}"


def _encode(df: DataFrame) -> str:
    """Return the table's columns as text.

    :raises DataError: for a column of a type that Arrow does not have, before anything is written.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql.types import StructType

    try:
        return encode_schema(arrow_schema(df.schema, df.sparkSession))
    except PySparkException:
        for field in df.schema:
            try:
                arrow_schema(StructType([field]), df.sparkSession)
            except PySparkException as error:
                kind = field.dataType.simpleString()
                raise DataError(
                    f"column '{field.name}' is of type {kind}, which scripts cannot read; cast it in SQL, or leave it out",
                    column=field.name,
                ) from error
        raise


def has_classes(kind: Any) -> bool:
    """Return whether the values of a Spark type may be classes."""
    from pyspark.sql.types import BooleanType, DoubleType, FloatType, IntegralType, StringType

    return isinstance(kind, (BooleanType, DoubleType, FloatType, IntegralType, StringType))


def _frequent_values(label: str, is_text: bool) -> Column:
    """Return the most frequent labels with their counts, in bounded memory. Both are exact if there are at most MAX_CLASSES.

    Texts longer than MAX_CLASS_LENGTH are left out: then the counts do not add up to the number of labels.

    The sketch behind it (Apache DataSketches, frequent items) drops nothing before it is three quarters full.
    """
    from pyspark.sql import functions as F

    labels = F.col(quote_column(label))
    if is_text:
        labels = F.when(F.length(labels) <= MAX_CLASS_LENGTH, labels)
    return F.call_function("approx_top_k", labels, F.lit(MAX_CLASSES + 1), F.lit(2 * MAX_CLASSES))


def _read_classes(observed: Mapping[str, Any]) -> tuple[Class, ...] | None:
    """Return all labels that a job has observed, or None if it saw too many for its sketch."""
    frequent = [(item, count) for item, count in observed.get("frequent") or () if item is not None]
    if "frequent" not in observed or sum(count for _, count in frequent) != observed["labels"]:
        return None
    return order_classes(item for item, _ in frequent)


def order_classes(labels: Iterable[Class]) -> tuple[Class, ...] | None:
    """Return different labels in ascending order; None if there are too many for classes, or one is long or not whole."""
    found = set(labels)
    if len(found) > MAX_CLASSES or not all(map(_is_class, found)):
        return None
    return tuple(sorted(found))


def _is_class(label: Class) -> bool:
    if isinstance(label, str):
        return len(label) <= MAX_CLASS_LENGTH
    return not isinstance(label, float) or label.is_integer()


def is_vector_type(kind: Any) -> bool:
    """Return whether a Spark type is that of vectors, without the import of ``pyspark.ml``, which takes a second."""
    return (type(kind).__module__, type(kind).__name__) == ("pyspark.ml.linalg", "VectorUDT")


def name_columns(schema: StructType) -> dict[str, str]:
    """Return the Spark type of each column, by its name."""
    return {field.name: field.dataType.simpleString() for field in schema}


def arrow_schema(schema: StructType, spark: SparkSession) -> pa.Schema:
    """Return a table's columns as Arrow fields, times in the session's zone.

    :raises PySparkException: when Arrow has no type for one.
    """
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema

    zone = spark.conf.get("spark.sql.session.timeZone")
    if "timezone" in inspect.signature(to_arrow_schema).parameters:
        return to_arrow_schema(schema, timezone=zone)
    return pa.schema([field.with_type(in_zone(field.type, zone)) for field in to_arrow_schema(schema)])


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


def in_known_zone(table: pa.Table) -> pa.Table:
    """Return the table with its times in UTC if Python does not know their zone; Java knows more zones."""
    import pyarrow as pa

    zone = next(filter(None, map(_zone_of, table.schema.types)), None)
    try:
        pa.scalar(0, pa.timestamp("us", zone)).as_py()
        return table
    except Exception:  # pytz, zoneinfo and pyarrow have no error in common
        return table.cast(pa.schema([field.with_type(in_zone(field.type, "UTC")) for field in table.schema]))


def _zone_of(kind: pa.DataType) -> str | None:
    """Return the zone of the times in values of a type; None if there are no times."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        zone: str | None = kind.tz
        return zone
    return next(filter(None, (_zone_of(kind.field(place).type) for place in range(kind.num_fields))), None)


def encode_schema(schema: Any) -> str:
    """Return an Arrow schema as text.

    :raises DataError: when a column is nested too deep for that.
    """
    import pyarrow as pa

    encoded = schema.serialize()
    try:
        pa.ipc.read_schema(encoded)
    except (pa.ArrowException, OSError) as error:
        raise DataError("a column of the table is nested deeper than the hundred levels that Arrow describes") from error
    return base64.b64encode(encoded.to_pybytes()).decode()


def decode_schema(text: str) -> pa.Schema:
    """Return the Arrow schema of :func:`encode_schema`.

    :raises FormatError: when the text is none.
    """
    import pyarrow as pa

    try:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise FormatError(f"the schema of a table cannot be read: {error}; what describes the table is damaged") from error


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
