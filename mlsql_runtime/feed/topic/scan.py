"""Look through a topic that is to be trained from as it is: what it holds up to its end offsets of now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlsql_runtime import codec
from mlsql_runtime.errors import DataError, InputError, IntegrityError
from mlsql_runtime.feed.decoding.json_facts import JsonFacts
from mlsql_runtime.feed.topic import records as messages
from mlsql_runtime.feed.topic.receive import current_range, json_texts, records_of
from mlsql_runtime.feed.topic.send import FEED_VERSION, FeedManifest, SentTable
from mlsql_runtime.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from kafka.consumer.fetcher import ConsumerRecord


def scan_topic(settings: KafkaSettings, topic: str, group: str, feature_column: str) -> SentTable:
    """Read the topic once, to count its rows and to learn their columns; the groups will read the same span.

    Records of this transport need their feed's manifest, so the topic has to be of a run that was kept; any other record
    is one JSON object. Memory holds a few megabytes of them.

    :raises DataError: when there is nothing to train on, or a record is not as the others are.
    :raises IntegrityError: when a feed in the topic was never finished.
    """
    span = current_range(settings, topic)
    ours, others = _Ours(), JsonFacts(feature_column)
    for texts, what in json_texts(ours.taken_from(records_of(settings, span, group=None))):
        others.add(texts, what)
    where = f"topic {topic} on {settings.servers}"
    manifest = ours.manifest(where)
    if manifest is not None and others.rows:
        raise InputError(f"{where} holds both records of this transport and {others.rows} of others; train from one kind")
    facts = others.facts() if manifest is None else manifest.facts
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


class _Ours:
    """What this transport left in a topic."""

    def __init__(self) -> None:
        self._manifests: dict[str, FeedManifest] = {}
        self._runs: set[str] = set()

    def taken_from(self, records: Iterator[ConsumerRecord]) -> Iterator[ConsumerRecord]:
        """Take note of our own records, and pass on the others."""
        for record in records:
            if messages.is_manifest(record.headers):
                where = f"the manifest in topic {record.topic}"
                manifest = codec.loads(FeedManifest, record.value, where, version=("feed_version", FEED_VERSION))
                self._manifests[manifest.run] = manifest
            elif (stamp := messages.read_origin(record.headers)) is not None:
                self._runs.add(stamp.run)
            else:
                yield record

    def manifest(self, where: str) -> FeedManifest | None:
        """The one that there is."""
        unfinished = self._runs - self._manifests.keys()
        if unfinished:
            raise IntegrityError(f"{where} holds run {min(unfinished)}, which was never sent to its end")
        if len(self._manifests) > 1:
            raise InputError(f"{where} holds {len(self._manifests)} runs; train from a topic with one")
        return next(iter(self._manifests.values()), None)
