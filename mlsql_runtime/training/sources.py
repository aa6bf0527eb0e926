"""What a training run has read, for the manifest of its version."""

from __future__ import annotations

from mlsql_runtime.lineage import find_sources
from mlsql_runtime.plan import KafkaFeed, Train
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.store.sources import Source, SourceUse
from mlsql_runtime.training.data import TrainingData


def find_training_sources(statement: Train, context: RunContext, data: TrainingData) -> tuple[Source, ...]:
    """Return the sources of the training and validation rows. To be called once they are read: then the versions are known."""
    names: dict[SourceUse, str | None] = {"training": statement.table, "validation": statement.validate_table}
    found = find_sources({use: context.definitions[name.lower()] for use, name in names.items() if name is not None})
    feed = statement.feed
    if not isinstance(feed, KafkaFeed) or not feed.reuse:
        return found
    brokers = feed.settings.get("bootstrap_servers")
    return (Source(table=feed.topic, kind="topic", path=brokers, offsets=data.table.offsets), *found)
