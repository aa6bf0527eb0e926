"""Topics: create, look at, delete. Every function takes an open admin client, and the settings to name brokers in errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mlsql_runtime.errors import InputError, KafkaRefused, KafkaUnavailable
from mlsql_runtime.kafka.client_errors import client, explain_code, explained, nearest, raise_all
from mlsql_runtime.kafka.descriptions import Config, Partition, TopicDescription
from mlsql_runtime.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

LEADER_SECONDS = 30.0
NOTHING: Mapping[str, str] = MappingProxyType({})
_UNKNOWN_TOPIC = 3
_NOT_YET = (5, 6)  # no leader, another leader
_TICK_SECONDS = 0.1


def create_topic(
    admin: KafkaAdminClient,
    settings: KafkaSettings,
    name: str,
    *,
    partitions: int = -1,
    replication_factor: int = -1,
    configs: Mapping[str, str] = NOTHING,
    validate_only: bool = False,
) -> None:
    """Create a topic, and wait up to 30 s until each of its partitions has a leader.

    :param partitions: how many; -1 takes the broker's default, and so does it for ``replication_factor``.
    :param configs: by their Kafka names; ``{"retention.ms": "3600000"}`` keeps records an hour.
    :param validate_only: have the broker check what is asked, and create nothing.
    :raises KafkaRefused: for a topic that is there already, wrong numbers, an unknown or wrong config, a missing ACL.
    :raises KafkaUnavailable: when no broker answers, or a partition has no leader in time.
    """
    doing = f"create topic {name}"
    wanted = {"num_partitions": partitions, "replication_factor": replication_factor, "configs": as_text(configs)}
    with explained(settings, doing):
        answer = admin.create_topics({name: wanted}, validate_only=validate_only, raise_errors=False)
    for item in answer["topics"]:
        if item["error_code"]:
            raise explain_code(item["error_code"], item["error_message"], settings, doing)
    if not validate_only:
        wait_for_leaders(admin, settings, name, LEADER_SECONDS)


def delete_topics(admin: KafkaAdminClient, settings: KafkaSettings, names: str | Iterable[str]) -> tuple[str, ...]:
    """Delete the topics that exist (one name, or several); answers their names. Those that do not exist are passed over.

    :raises KafkaRefused: naming every topic that was not deleted; ``facts["deleted"]`` are those that were.
    """
    wanted = as_names(names)
    if not wanted:
        return ()
    with explained(settings, f"delete topics {', '.join(wanted)}"):
        answer = admin.delete_topics(wanted, raise_errors=False)
    codes = {item["name"]: item for item in answer["topics"]}
    deleted = tuple(name for name in wanted if codes[name]["error_code"] == 0)
    raise_all(
        [
            explain_code(item["error_code"], item.get("error_message"), settings, f"delete topic {name}")
            for name, item in sorted(codes.items())
            if item["error_code"] not in (0, _UNKNOWN_TOPIC)
        ],
        deleted=list(deleted),
    )
    # The deletion is final; brokers only go on showing the topic for a moment.
    _poll(lambda: not set(deleted) & set(list_topics(admin, settings)), seconds=5)
    return deleted


def list_topics(admin: KafkaAdminClient, settings: KafkaSettings) -> tuple[str, ...]:
    """Names of the topics that this client may see, sorted; Kafka's own, such as ``__consumer_offsets``, are among them."""
    with explained(settings, "list topics"):
        return tuple(sorted(admin.list_topics()))


def topics_with_prefix(admin: KafkaAdminClient, settings: KafkaSettings, prefix: str) -> tuple[str, ...]:
    """Names of the topics that begin with ``prefix``, sorted."""
    return tuple(name for name in list_topics(admin, settings) if name.startswith(prefix))


def describe_topic(admin: KafkaAdminClient, settings: KafkaSettings, name: str) -> TopicDescription:
    """Partitions with their offsets, and all settings.

    :raises InputError: when there is no such topic; the error names one that is spelt nearly so.
    :raises KafkaRefused: when an ACL is missing: Describe and DescribeConfigs on the topic.
    """
    raw = require_topic(admin, settings, name)
    configs = topic_configs(admin, settings, name)
    return TopicDescription(name, partitions_of(admin, settings, raw), configs, raw["is_internal"])


def require_topic(admin: KafkaAdminClient, settings: KafkaSettings, name: str) -> dict[str, Any]:
    """The topic's metadata, as kafka-python gives it.

    :raises InputError: when there is no such topic; the error names one that is spelt nearly so.
    """
    doing = f"describe topic {name}"
    with explained(settings, doing):
        (raw,) = admin.describe_topics([name])
    if raw["error_code"] == _UNKNOWN_TOPIC:
        hint = nearest(name, (each for each in list_topics(admin, settings) if not each.startswith("__")))
        raise InputError(f"{doing} on {settings.servers}: there is no such topic{hint}", topic=name)
    if raw["error_code"]:
        raise explain_code(raw["error_code"], None, settings, doing)
    return dict(raw)


def topic_configs(admin: KafkaAdminClient, settings: KafkaSettings, name: str) -> dict[str, Config]:
    """All settings of a topic that exists.

    :raises KafkaRefused: when the broker does not give them; kafka-python keeps its reason to itself.
    """
    from kafka.admin import ConfigResource

    doing = f"describe the configs of topic {name}"
    with explained(settings, doing):
        answer = admin.describe_configs([ConfigResource("TOPIC", name)], config_filter="all")
    given = answer.get("topic", {}).get(name)
    if not given:
        raise KafkaRefused(
            f"{doing} on {settings.servers}: {client(settings)} gets none; have an ACL DescribeConfigs for it added"
        )
    return {
        key: Config(config["value"], config["config_source"], config["config_source"] != "DYNAMIC_TOPIC_CONFIG")
        for key, config in sorted(given.items())
    }


def partitions_of(admin: KafkaAdminClient, settings: KafkaSettings, raw: Mapping[str, Any]) -> tuple[Partition, ...]:
    """The partitions of a topic's metadata, with offsets for those that have a leader."""
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec

    led = [TopicPartition(raw["name"], each["partition_index"]) for each in raw["partitions"] if each["leader_id"] >= 0]
    begins, ends = {}, {}
    if led:
        with explained(settings, f"ask for the offsets of topic {raw['name']}"):
            begins = admin.list_partition_offsets(dict.fromkeys(led, OffsetSpec.EARLIEST))
            ends = admin.list_partition_offsets(dict.fromkeys(led, OffsetSpec.LATEST))
    found = {pair.partition: (begins[pair].offset, ends[pair].offset) for pair in led}
    return tuple(
        Partition(
            partition=each["partition_index"],
            leader=each["leader_id"] if each["leader_id"] >= 0 else None,
            replicas=tuple(each["replica_nodes"]),
            in_sync=tuple(each["isr_nodes"]),
            begin=found.get(each["partition_index"], (None, None))[0],
            end=found.get(each["partition_index"], (None, None))[1],
        )
        for each in sorted(raw["partitions"], key=lambda each: each["partition_index"])
    )


def wait_for_topic(
    admin: KafkaAdminClient, settings: KafkaSettings, name: str, *, records: int = 0, seconds: float = 60.0
) -> int:
    """Wait until the topic exists, its partitions have leaders, and it holds ``records`` records; answers how many it holds.

    Records are counted by offsets: see :class:`~mlsql_runtime.kafka.descriptions.TopicDescription`.

    :raises KafkaUnavailable: when that takes longer than ``seconds``.
    """
    deadline = time.monotonic() + seconds
    wait_for_leaders(admin, settings, name, seconds)
    held = 0

    def enough() -> bool:
        nonlocal held
        found = partitions_of(admin, settings, require_topic(admin, settings, name))
        held = sum(each.end - each.begin for each in found if each.end is not None and each.begin is not None)
        return held >= records

    if not _poll(enough, deadline - time.monotonic()):
        raise KafkaUnavailable(
            f"wait for topic {name} on {settings.servers}: after {seconds:g} s it holds {held} records, expected {records}"
        )
    return held


def wait_for_leaders(admin: KafkaAdminClient, settings: KafkaSettings, name: str, seconds: float, partitions: int = 1) -> None:
    """Wait until the topic has at least that many partitions, each with a leader.

    :raises KafkaUnavailable: when that takes longer than ``seconds``.
    """
    doing = f"wait for topic {name}"
    missing = ""

    def ready() -> bool:
        nonlocal missing
        with explained(settings, doing):
            (raw,) = admin.describe_topics([name])
        if raw["error_code"] not in (0, _UNKNOWN_TOPIC, *_NOT_YET):
            raise explain_code(raw["error_code"], None, settings, doing)
        led = [each for each in raw["partitions"] if each["leader_id"] >= 0]
        missing = (
            f"{len(led)} of its {len(raw['partitions'])} partitions have a leader" if raw["partitions"] else "it is not there"
        )
        return len(raw["partitions"]) >= partitions and len(led) == len(raw["partitions"])

    if not _poll(ready, seconds):
        raise KafkaUnavailable(f"{doing} on {settings.servers}: after {seconds:g} s {missing}")


def as_names(names: str | Iterable[str]) -> list[str]:
    """Names, each once; a text is one name, not its letters."""
    return [names] if isinstance(names, str) else sorted(set(names))


def as_text(configs: Mapping[str, Any]) -> dict[str, str]:
    """Config values as Kafka takes them: ``true`` rather than Python's True."""
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in configs.items()}


def _poll(look: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_TICK_SECONDS)
    return True
