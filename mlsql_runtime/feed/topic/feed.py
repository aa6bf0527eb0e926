"""Tables through Kafka: a topic of the run's own, or one that holds the table already."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlsql_runtime.feed.topic.scan import scan_topic
from mlsql_runtime.feed.topic.send import SendTarget, SentTable, send
from mlsql_runtime.kafka.run_topic import Owner, client_settings, group_prefix, run_topic, try_to_remove_run
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.plan import KafkaFeed, Secrets

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from mlsql_runtime.feed.files.export import StagedTable


@dataclass(frozen=True)
class TopicFeed:
    """Tables are sent to a topic of this run, which is deleted at the end unless the plan keeps it."""

    feed: KafkaFeed
    settings: KafkaSettings
    owner: Owner
    _cleanup: ExitStack = field(default_factory=ExitStack)

    def restore(self, staged: StagedTable | None) -> None:
        """Return nothing: the topic of an earlier attempt is deleted with it."""

    def prepare(self, table: DataFrame | None, feature_column: str) -> SentTable:
        assert table is not None
        parallelism = table.sparkSession.sparkContext.defaultParallelism
        topic = self._cleanup.enter_context(run_topic(self.feed, self.settings, self.owner, parallelism))
        target = SendTarget(self.settings, topic.name, topic.partitions, topic.max_bytes, topic.run)
        return send(table, target, topic.group, feature_column)

    def remove(self) -> None:
        self._cleanup.close()


@dataclass(frozen=True)
class ExistingTopicFeed:
    """The table is what a topic holds; the topic stays, the groups of its readers are deleted."""

    feed: KafkaFeed
    settings: KafkaSettings
    owner: Owner

    def restore(self, staged: StagedTable | None) -> None:
        """Return nothing: the topic is scanned again."""

    def prepare(self, table: DataFrame | None, feature_column: str) -> SentTable:
        return scan_topic(self.settings, self.feed.topic, group_prefix(self.feed, self.owner), feature_column)

    def remove(self) -> None:
        try_to_remove_run(self.feed, self.settings, self.owner)


def open_topic_feed(feed: KafkaFeed, secrets: Secrets, owner: Owner) -> TopicFeed | ExistingTopicFeed:
    """Return the feed that the plan asks for.

    :raises InputError: when the job lacks the secrets of the Kafka connection.
    """
    kind = ExistingTopicFeed if feed.reuse else TopicFeed
    return kind(feed, client_settings(feed, secrets), owner)
