"""What a Kafka cluster answers about its topics, groups and brokers, as values that cannot change under one's hands.

``dataclasses.asdict`` makes plain JSON values of each of them, for an XCom for example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Partition:
    """One partition. ``leader`` is None while it has none, and so are its offsets then.

    Brokers are given by their id. ``begin`` is the offset of the oldest record kept, ``end`` the one the next record gets.
    """

    partition: int
    leader: int | None
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    begin: int | None
    end: int | None


@dataclass(frozen=True)
class Config:
    """One setting of a topic; ``value`` is None when the broker keeps it secret.

    ``source`` is Kafka's word for where the value comes from; ``is_default`` means that it was not set on this topic.
    """

    value: str | None
    source: str
    is_default: bool


@dataclass(frozen=True)
class TopicDescription:
    """A topic; ``configs`` are all of its settings by their Kafka names, such as ``retention.ms``."""

    name: str
    partitions: tuple[Partition, ...]
    configs: Mapping[str, Config]
    is_internal: bool

    @property
    def replication_factor(self) -> int:
        return max((len(each.replicas) for each in self.partitions), default=0)

    @property
    def records(self) -> int:
        """Offsets between begin and end of all partitions. Compaction and transactions leave gaps: there are no more records."""
        return sum(each.end - each.begin for each in self.partitions if each.end is not None and each.begin is not None)

    @property
    def changed(self) -> dict[str, str | None]:
        """The settings that were set on this topic, and their values."""
        return {name: config.value for name, config in self.configs.items() if not config.is_default}
