"""Collect the facts of a table of JSON objects, chunk by chunk: columns, types, the width of feature vectors."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.column_names import find_column
from mlsql_runtime.feed.decoding.json_depth import LEVELS, find_deep_line
from mlsql_runtime.feed.decoding.sql_types import name_type
from mlsql_runtime.feed.decoding.vectors import SPARSE, VECTOR_TYPE
from mlsql_runtime.feed.table_facts import ColumnRoles, TableFacts, encode_schema, one_width, order_classes
from mlsql_runtime.store.signature import MAX_CLASS_LENGTH, MAX_CLASSES, Class

_VECTOR_FIELDS = {"type", "size", "indices", "values"}


class JsonFacts:
    """The facts of texts, one JSON object each. The vectors of each feature column of ``roles`` must have one width."""

    def __init__(self, roles: ColumnRoles) -> None:
        self.rows = 0
        self._roles = roles
        self._schema = pa.schema([])
        self._widths: dict[str, set[int]] = {}
        self._labels: set[Class] = set()  # up to one too many
        self._label_count = 0
        self._has_classes = True

    def add(self, texts: list[bytes], what: str) -> None:
        """Add a chunk.

        :param what: the origin of the texts, for errors.
        :raises DataError: when a text is not a JSON object, or a column has other types than before.
        """
        table = _parsed(texts, what)
        self.rows += table.num_rows
        try:
            schema = pa.schema([field.with_type(_to_column_type(field.type)) for field in table.schema])
            self._schema = pa.unify_schemas([self._schema, schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"{what}: a column has other types than in the records before: {error}") from error
        for feature in self._roles.features:
            name = find_column(feature, table.column_names)
            if name is not None and looks_like_vector(table.schema.field(name).type):
                try:
                    self._widths.setdefault(name, set()).update(_widths(table.column(name).combine_chunks()))
                except pa.ArrowException as error:
                    raise DataError(f"{what}: column '{name}' has objects that are not vectors: {error}") from error
        label = None if self._roles.label is None else find_column(self._roles.label, table.column_names)
        if label is not None:
            self._count_labels(table.column(label))

    def _count_labels(self, labels: pa.ChunkedArray) -> None:
        self._label_count += len(labels) - labels.null_count
        is_long = pa.types.is_string(labels.type) and (pc.max(pc.utf8_length(labels)).as_py() or 0) > MAX_CLASS_LENGTH
        if is_long or pa.types.is_nested(labels.type) or pa.types.is_temporal(labels.type):  # which may be text
            self._has_classes = False
        elif len(self._labels) <= MAX_CLASSES:
            self._labels.update(pc.unique(labels).drop_null().to_pylist())

    def facts(self) -> TableFacts:
        """Return the facts of all chunks.

        :raises DataError: when vectors differ in width.
        """
        schema = pa.schema([_spark_field(field) for field in self._schema])
        label = None if self._roles.label is None else find_column(self._roles.label, schema.names)
        widths = [one_width(name, min(found), max(found)) for name, found in self._widths.items() if found]
        return TableFacts(
            rows=self.rows,
            schema=encode_schema(schema),
            columns={field.name: name_type(field.type) for field in schema},
            width=widths[0] if widths and len(self._roles.features) == 1 else None,
            label=label,
            label_nulls=0 if label is None else self.rows - self._label_count,
            classes=order_classes(self._labels) if self._labels and self._has_classes else None,
        )


def _parsed(texts: list[bytes], what: str) -> pa.Table:
    from pyarrow import json as arrow_json

    content = b"\n".join(texts)
    if find_deep_line(content) is not None:
        raise DataError(f"{what}: lists and objects of a record are nested deeper than {LEVELS} levels")
    try:
        content.decode()  # Arrow takes text and names that are not UTF-8
        table = arrow_json.read_json(pa.BufferReader(content), arrow_json.ReadOptions(block_size=len(content) + 1))
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise DataError(f"{what}: expected one JSON object for each record: {str(error)[:500]}") from error
    if table.num_rows != len(texts):
        raise DataError(f"{what}: expected one JSON object for each record, got {table.num_rows} in {len(texts)} records")
    return table


def _to_column_type(kind: pa.DataType) -> pa.DataType:
    """Return the type to read a column as: text that looks like a time stays text, because other records may not look so."""
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_to_column_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_to_column_type(field.type)) for field in kind])
    return kind


def looks_like_vector(kind: pa.DataType) -> bool:
    """Return whether a type inferred from JSON is that of vectors, which may lack fields that no record has."""
    names = {field.name for field in kind} if pa.types.is_struct(kind) else set()
    return {"type", "values"} <= names <= _VECTOR_FIELDS


def _spark_field(field: pa.Field) -> pa.Field:
    """Return the field with a vector's type if its objects look like Spark's JSON of vectors."""
    return field.with_type(VECTOR_TYPE) if looks_like_vector(field.type) else field


def _widths(vectors: pa.StructArray) -> set[int]:
    width = pc.list_value_length(pc.struct_field(vectors, "values"))
    if vectors.type.get_field_index("size") >= 0:
        sparse = pc.equal(pc.struct_field(vectors, "type"), SPARSE)
        width = pc.if_else(sparse, pc.cast(pc.struct_field(vectors, "size"), pa.int32()), width)
    return set(pc.unique(width).drop_null().to_pylist())
