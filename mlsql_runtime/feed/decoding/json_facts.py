"""Collect the facts of a table of JSON objects, chunk by chunk: columns, types, the width of feature vectors."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import SPARSE, VECTOR_TYPE, is_vector
from mlsql_runtime.feed.table_facts import TableFacts, encode_schema, one_width

_VECTOR_FIELDS = {"type", "size", "indices", "values"}


class JsonFacts:
    """The facts of texts, one JSON object each. The vectors of ``feature_column`` must have one width."""

    def __init__(self, feature_column: str) -> None:
        self.rows = 0
        self._feature = feature_column
        self._schema = pa.schema([])
        self._widths: set[int] = set()

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
        if self._feature in table.column_names and looks_like_vector(table.schema.field(self._feature).type):
            self._widths |= _widths(table.column(self._feature).combine_chunks())

    def facts(self) -> TableFacts:
        """Return the facts of all chunks.

        :raises DataError: when vectors differ in width.
        """
        schema = pa.schema([_spark_field(field) for field in self._schema])
        return TableFacts(
            rows=self.rows,
            schema=encode_schema(schema),
            columns={field.name: "vector" if is_vector(field.type) else str(field.type) for field in schema},
            width=one_width(self._feature, min(self._widths), max(self._widths)) if self._widths else None,
        )


def _parsed(texts: list[bytes], what: str) -> pa.Table:
    from pyarrow import json as arrow_json

    content = b"\n".join(texts)
    try:
        table = arrow_json.read_json(pa.BufferReader(content), arrow_json.ReadOptions(block_size=len(content) + 1))
    except pa.ArrowInvalid as error:
        raise DataError(f"{what}: expected one JSON object for each record: {error}") from error
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
