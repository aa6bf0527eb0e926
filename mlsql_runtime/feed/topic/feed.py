"""Tables through Kafka: a topic of the run's own, or one that holds the table already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsql_runtime.feed.topic.scan import scan_topic
from mlsql_runtime.feed.topic.send import SendTarget, SentTable, send
from mlsql_runtime.kafka.run_topic import Owner, create_run_topic, group_prefix, try_to_remove_run
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.plan import KafkaFeed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from mlsql_runtime.feed.table_facts import ColumnRoles, TableIdentity


@dataclass(frozen=True)
class TopicFeed:
    """A table is sent to a topic of this run, which is deleted at the end unless the plan keeps it. If the plan reuses a topic,
    its records are the table, and it stays. The readers' consumer groups are deleted in both cases.
    """

    feed: KafkaFeed
    settings: KafkaSettings
    owner: Owner

    def restore(self, identity: TableIdentity) -> None:
        """Return nothing: the topic of an earlier attempt is deleted with it, and one that stays is scanned again."""

    def prepare(self, table: DataFrame | None, roles: ColumnRoles) -> SentTable:
        if table is None:
            return scan_topic(self.settings, self.feed.topic, group_prefix(self.feed, self.owner), roles)
        parallelism = table.sparkSession.sparkContext.defaultParallelism
        topic = create_run_topic(self.feed, self.settings, self.owner, parallelism)
        target = SendTarget(self.settings, topic.name, topic.partitions, topic.max_bytes, topic.run)
        return send(table, target, topic.group, roles)

    def remove(self) -> None:
        try_to_remove_run(self.feed, self.settings, self.owner)
