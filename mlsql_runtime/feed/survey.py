"""Look through a topic that is to be trained from as it is: what it holds up to its end offsets of now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from mlsql_runtime import codec
from mlsql_runtime.errors import DataError, InputError, IntegrityError
from mlsql_runtime.feed import messages
from mlsql_runtime.feed.facts import TableFacts, encode_schema
from mlsql_runtime.feed.json_lines import read_json_text
from mlsql_runtime.feed.receive import json_texts, records_of, span_of
from mlsql_runtime.feed.send import FeedManifest, Sent
from mlsql_runtime.feed.vectors import VECTOR_TYPE, is_vector, widths
from mlsql_runtime.kafka.settings import KafkaSettings

_VECTOR_FIELDS = {"type", "size", "indices", "values"}


def survey(settings: KafkaSettings, topic: str, group: str, feature_column: str) -> Sent:
    """Read the topic once, to count its rows and to learn their columns; the groups will read the same span.

    Records of this transport need their feed's manifest, so the topic has to be of a run that was kept; any other record
    is one JSON object.

    :raises DataError: when there is nothing to train on, or a record is no JSON object.
    :raises IntegrityError: when a feed in the topic was never finished.
    """
    span = span_of(settings, topic)
    manifests: list[FeedManifest] = []
    runs: set[str] = set()
    others = _Others(topic)
    for record in records_of(settings, span, group=None):
        if messages.is_manifest(record.headers):
            manifests.append(codec.loads(FeedManifest, record.value, f"the manifest in topic {topic}"))
        elif (stamp := messages.read_stamp(record.headers)) is not None:
            runs.add(stamp.run)
        else:
            others.add(record)
    others.finish()
    unfinished = runs - {manifest.run for manifest in manifests}
    if unfinished:
        raise IntegrityError(f"topic {topic} on {settings.servers} holds run {min(unfinished)}, which was never sent to its end")
    if manifests and others.rows:
        raise InputError(f"topic {topic} holds both records of this transport and {others.rows} of others; train from one kind")
    facts = _facts_of_ours(manifests, topic) if manifests else others.facts(feature_column)
    if facts.rows == 0:
        raise DataError(f"topic {topic} on {settings.servers} is empty: there is nothing to train on", topic=topic)
    return Sent(
        settings=settings,
        group=group,
        span=span,
        parts=tuple(part for manifest in manifests for part in manifest.parts) if manifests else None,
        facts=facts,
    )


def _facts_of_ours(manifests: list[FeedManifest], topic: str) -> TableFacts:
    facts = [manifest.facts for manifest in manifests]
    if len({(each.schema, each.width) for each in facts}) > 1:
        raise InputError(f"topic {topic} holds {len(facts)} runs with different columns; train from a topic with one table")
    return replace(facts[0], rows=sum(each.rows for each in facts))


class _Others:
    """What another producer's records have in common."""

    def __init__(self, topic: str) -> None:
        self.rows = 0
        self._topic = topic
        self._waiting: list[Any] = []
        self._schema = pa.schema([])
        self._first: bytes | None = None

    def add(self, record: Any) -> None:
        self._waiting.append(record)
        if len(self._waiting) >= 1000:
            self.finish()

    def finish(self) -> None:
        """Take in what waits."""
        waiting, self._waiting = self._waiting, []
        for texts, what in json_texts(iter(waiting)):
            self._first = self._first or texts[0]
            self._look_at(_inferred(texts, what), what)

    def _look_at(self, table: pa.Table, what: str) -> None:
        self.rows += table.num_rows
        try:
            self._schema = pa.unify_schemas([self._schema, table.schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"{what}: a column has other types than in the records before: {error}") from error

    def facts(self, feature_column: str) -> TableFacts:
        schema = pa.schema([_spark_field(field) for field in self._schema])
        return TableFacts(
            rows=self.rows,
            schema=encode_schema(schema),
            columns={field.name: "vector" if is_vector(field.type) else str(field.type) for field in schema},
            width=self._width(schema, feature_column),
        )

    def _width(self, schema: pa.Schema, feature_column: str) -> int | None:
        """The first row's; whether others have it too is seen when they are read."""
        if feature_column not in schema.names or not is_vector(schema.field(feature_column).type) or self._first is None:
            return None
        first = next(read_json_text(self._first, schema, f"the first record of topic {self._topic}"))
        return int(widths(first.column(feature_column).cast(VECTOR_TYPE))[0])


def _inferred(texts: list[bytes], what: str) -> pa.Table:
    from pyarrow import json as arrow_json

    content = b"\n".join(texts)
    try:
        return arrow_json.read_json(pa.BufferReader(content), arrow_json.ReadOptions(block_size=len(content) + 1))
    except pa.ArrowInvalid as error:
        raise DataError(f"{what}: expected one JSON object for each record: {error}") from error


def _spark_field(field: pa.Field) -> pa.Field:
    """Objects that look like Spark's JSON of a vector are vectors, whichever of their fields records have."""
    names = {inner.name for inner in field.type} if pa.types.is_struct(field.type) else set()
    return field.with_type(VECTOR_TYPE) if {"type", "values"} <= names <= _VECTOR_FIELDS else field
