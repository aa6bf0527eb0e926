"""What a Kafka cluster answers about its topics, groups and brokers, as values that cannot change under one's hands.

:func:`plain` makes JSON values of each of them, for an XCom for example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any


def plain(fact: Any) -> Any:
    """A fact, or several of them, as lists, dicts, texts and numbers."""
    if is_dataclass(fact) and not isinstance(fact, type):
        return plain(asdict(fact))
    if isinstance(fact, Mapping):
        return {name: plain(value) for name, value in fact.items()}
    return [plain(each) for each in fact] if isinstance(fact, (tuple, list)) else fact


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


@dataclass(frozen=True)
class Member:
    """One consumer of a group, and the partitions that it reads now, as (topic, partition)."""

    member_id: str
    client_id: str
    host: str
    assigned: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Group:
    """A group as listed. ``state`` is Kafka's word: Stable, Empty, PreparingRebalance …; ``coordinator`` is a broker's id."""

    group: str
    state: str
    kind: str
    coordinator: int


@dataclass(frozen=True)
class GroupDescription:
    """A group. ``members`` is None when it uses Kafka's newer group protocol, whose members cannot be asked for here."""

    group: str
    state: str
    kind: str
    coordinator: int
    members: tuple[Member, ...] | None


@dataclass(frozen=True)
class CommittedOffset:
    """The offset that a group reads next from a partition."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class PartitionLag:
    """How far a group is behind in a partition, in offsets. Without a committed offset the whole partition counts."""

    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int


@dataclass(frozen=True)
class GroupLag:
    """How far a group is behind."""

    group: str
    partitions: tuple[PartitionLag, ...]

    @property
    def total(self) -> int:
        return sum(each.lag for each in self.partitions)


@dataclass(frozen=True)
class OffsetChange:
    """A committed offset before (None: there was none) and after a reset."""

    topic: str
    partition: int
    before: int | None
    after: int


@dataclass(frozen=True)
class Broker:
    """A broker as it tells clients to reach it."""

    broker: int
    host: str
    port: int
    rack: str | None


@dataclass(frozen=True)
class ClusterDescription:
    """A cluster. ``version`` is Kafka's, as far as the requests that the cluster knows tell it; ``features`` are their levels."""

    cluster_id: str
    controller: int
    brokers: tuple[Broker, ...]
    version: str
    features: Mapping[str, int]
