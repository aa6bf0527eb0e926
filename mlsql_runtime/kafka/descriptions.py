"""Descriptions of a cluster, its topics and its consumer groups, as immutable values.

:func:`mlsql_runtime.codec.encode` turns each of them into JSON values, for an XCom for example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlsql_runtime.kafka.clients import Admin


@dataclass(frozen=True)
class Partition:
    """One partition of a topic. A partition without a leader has no offsets: the three fields are None.

    Brokers are given by their id. ``begin`` is the offset of the oldest record, ``end`` the offset of the next record.
    """

    partition: int
    leader: int | None
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    begin: int | None
    end: int | None

    @property
    def records(self) -> int:
        return 0 if self.begin is None or self.end is None else self.end - self.begin


@dataclass(frozen=True)
class Config:
    """One config of a topic; ``value`` is None when the broker keeps it secret.

    ``source`` is Kafka's word for where the value comes from; ``is_default`` means that it was not set on this topic.
    """

    value: str | None
    source: str
    is_default: bool


@dataclass(frozen=True)
class TopicDescription:
    """A topic; ``configs`` are all of its configs by their Kafka names, such as ``retention.ms``."""

    name: str
    partitions: tuple[Partition, ...]
    configs: Mapping[str, Config]
    is_internal: bool

    @property
    def replication_factor(self) -> int:
        return max((len(each.replicas) for each in self.partitions), default=0)

    @property
    def records(self) -> int:
        """The offsets between begin and end of all partitions: an upper bound, since compaction and transactions leave gaps."""
        return sum(each.records for each in self.partitions)

    @property
    def changed(self) -> dict[str, str | None]:
        """The configs that were set on this topic, and their values."""
        return {name: config.value for name, config in self.configs.items() if not config.is_default}


@dataclass(frozen=True)
class Member:
    """One consumer of a group, and the partitions that it reads, as (topic, partition)."""

    member_id: str
    client_id: str
    host: str
    assigned: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Group:
    """A group in a list. ``state`` is Kafka's word: Stable, Empty, PreparingRebalance …; ``coordinator`` is a broker's id."""

    group: str
    state: str
    kind: str
    coordinator: int


@dataclass(frozen=True)
class GroupDescription(Group):
    """A group and its members; None when it uses Kafka's newer group protocol, for which kafka-python has no request."""

    members: tuple[Member, ...] | None


@dataclass(frozen=True)
class CommittedOffset:
    """The offset that a group reads next from a partition."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class PartitionLag:
    """The lag of a group in one partition, in offsets. Without a committed offset, the whole partition counts."""

    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int


@dataclass(frozen=True)
class GroupLag:
    """The lag of a group in all partitions of its topics."""

    group: str
    partitions: tuple[PartitionLag, ...]

    @property
    def total(self) -> int:
        return sum(each.lag for each in self.partitions)


@dataclass(frozen=True)
class OffsetChange:
    """A committed offset before a reset, None when there was none, and after it."""

    topic: str
    partition: int
    before: int | None
    after: int


@dataclass(frozen=True)
class Broker:
    """A broker, with the address that it advertises to clients."""

    broker: int
    host: str
    port: int
    rack: str | None


@dataclass(frozen=True)
class ClusterDescription:
    """A cluster. ``version`` is Kafka's, derived from the requests that the broker knows; ``features`` are levels by name."""

    cluster_id: str
    controller: int
    brokers: tuple[Broker, ...]
    version: str
    features: Mapping[str, int]


def describe_cluster(admin: Admin) -> ClusterDescription:
    """Return brokers, controller, version and features of the cluster. Every client that can connect is authorized."""
    with admin.wrap_errors("describe the cluster"):
        raw = admin.client.describe_cluster()
        brokers = sorted(raw["brokers"], key=lambda broker: broker["broker_id"])
        version = admin.client.get_broker_version_data(brokers[0]["broker_id"]).broker_version_str
        features = admin.client.describe_features()
    return ClusterDescription(
        cluster_id=raw["cluster_id"],
        controller=raw["controller_id"],
        brokers=tuple(Broker(each["broker_id"], each["host"], each["port"], each["rack"]) for each in brokers),
        version=version,
        features={name: each["finalized"][1] for name, each in sorted(features.items()) if "finalized" in each},
    )
