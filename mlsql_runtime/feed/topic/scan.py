"""Scan a topic that holds the table already, up to its current end offsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from mlsql_runtime import codec
from mlsql_runtime.errors import DataError, InputError, IntegrityError
from mlsql_runtime.feed.column_names import find_column
from mlsql_runtime.feed.decoding.json_facts import JsonFacts
from mlsql_runtime.feed.table_facts import ColumnRoles, TableFacts
from mlsql_runtime.feed.topic import records as messages
from mlsql_runtime.feed.topic.receive import current_range, json_texts, records_of
from mlsql_runtime.feed.topic.send import FEED_VERSION, FeedManifest, SentTable
from mlsql_runtime.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord


def scan_topic(settings: KafkaSettings, topic: str, group: str, roles: ColumnRoles) -> SentTable:
    """Read the topic once, to count its rows and infer their columns; the groups will read the same range.

    The topic is that of a run that was kept, with its manifest, or every record is one JSON object of another producer. Memory
    holds a few megabytes of records.

    :raises InputError: when the topic holds records of both kinds, or several runs.
    :raises DataError: when there is nothing to train on, or a record differs from the others.
    :raises IntegrityError: when a feed in the topic was never finished.
    """
    span = current_range(settings, topic)
    own, others = OwnRecords(), JsonFacts(roles)
    for texts, what in json_texts(own.take_from(records_of(settings, span, group=None))):
        others.add(texts, what)
    where = f"topic {topic} on {settings.servers}"
    manifest = own.manifest(where)
    if manifest is not None and others.rows:
        raise InputError(f"{where} holds records of a kept run and {others.rows} other records; train from a topic with one kind")
    facts = others.facts() if manifest is None else _facts_for(roles, manifest.facts)
    if facts.rows == 0:
        raise DataError(f"{where} is empty: there is nothing to train on", topic=topic)
    return SentTable(
        settings=settings,
        group=group,
        span=span,
        parts=None if manifest is None else manifest.parts,
        facts=facts,
        content=codec.dumps(span),  # a topic is only added to
    )


def _facts_for(roles: ColumnRoles, facts: TableFacts) -> TableFacts:
    """Return the facts of a kept run without those that were measured of other columns than the roles name."""
    columns = facts.columns
    label = None if roles.label is None else find_column(roles.label, columns)
    if label != facts.label:
        facts = replace(facts, label=label, label_nulls=0, classes=None)
    vectors = [name for name, kind in columns.items() if kind == "vector"]
    features = [find_column(name, columns) for name in roles.features]
    return facts if vectors == features else replace(facts, width=None)


class OwnRecords:
    """The runs whose records and manifests a topic holds."""

    def __init__(self) -> None:
        self._manifests: dict[str, FeedManifest] = {}
        self._runs: set[str] = set()

    def take_from(self, records: Iterator[ConsumerRecord]) -> Iterator[ConsumerRecord]:
        """Note the records of runs, and yield the others."""
        for record in records:
            if messages.is_manifest(record.headers):
                where = f"the manifest in topic {record.topic}"
                manifest = codec.loads(FeedManifest, record.value or b"", where, version=("feed_version", FEED_VERSION))
                self._manifests[manifest.run] = manifest
            elif (origin := messages.read_origin(record.headers)) is not None:
                self._runs.add(origin.run)
            else:
                yield record

    def manifest(self, where: str) -> FeedManifest | None:
        """Return the only manifest, or None for a topic without runs."""
        unfinished = self._runs - self._manifests.keys()
        if unfinished:
            raise IntegrityError(f"{where} holds run {min(unfinished)}, which was never finished")
        if len(self._manifests) > 1:
            raise InputError(f"{where} holds {len(self._manifests)} runs; train from a topic with one")
        return next(iter(self._manifests.values()), None)
