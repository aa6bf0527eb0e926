"""Topics: create, describe, change, wait for and delete them. Every function takes an open admin client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlsql_runtime.errors import InputError, KafkaRefused, KafkaUnavailable, MLSQLError, did_you_mean
from mlsql_runtime.kafka.client_errors import client_name, convert_code, convert_text, raise_all, suggest_name
from mlsql_runtime.kafka.clients import Admin, open_admin
from mlsql_runtime.kafka.connection import ticks
from mlsql_runtime.kafka.descriptions import Config, Partition, TopicDescription
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.plan import format_option

LEADER_SECONDS = 30.0
DELETION_SECONDS = 5.0
_UNKNOWN_TOPIC = 3
_TOPIC_EXISTS = 36
_WITHOUT_LEADER = (5, 6)  # LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER


def create_topic(
    admin: Admin,
    name: str,
    *,
    partitions: int = -1,
    replication_factor: int = -1,
    configs: Mapping[str, Any] | None = None,
    exist_ok: bool = False,
    validate_only: bool = False,
) -> bool:
    """Create a topic and wait up to 30 s until each of its partitions has a leader; return whether it was created.

    :param partitions: their number; -1 takes the broker's default, as it does for ``replication_factor``.
    :param configs: by their Kafka names; ``{"retention.ms": "3600000"}`` keeps records for an hour.
    :param exist_ok: accept an existing topic with these settings. -1 and configs that are not given are not compared.
    :param validate_only: have the broker check the request, and create nothing.
    :raises InputError: with ``exist_ok``, for an existing topic with other settings; the error lists every difference.
    :raises KafkaRefused: for a topic that exists, wrong numbers, an unknown or wrong config, a missing ACL.
    :raises KafkaUnavailable: when no broker answers, or a partition has no leader in time.
    """
    doing = f"create topic {name}"
    wanted = {"num_partitions": partitions, "replication_factor": replication_factor, "configs": _to_texts(configs or {})}
    if exist_ok and name in list_topics(admin):
        _check_settings(admin, name, wanted)
        return False
    with admin.wrap_errors(doing):
        response = admin.client.create_topics({name: wanted}, validate_only=validate_only, raise_errors=False)
    (item,) = response["topics"]
    if exist_ok and item["error_code"] == _TOPIC_EXISTS:  # another client has created it since the list was read
        _check_settings(admin, name, wanted)
        return False
    raise_all([convert_code(item["error_code"], item["error_message"], admin.settings, doing)])
    if not validate_only:
        wait_for_leaders(admin, name, LEADER_SECONDS)
    return not validate_only


def delete_topics(admin: Admin, names: str | Iterable[str]) -> tuple[str, ...]:
    """Delete the topics that exist (one name, or several), and return their names.

    :raises KafkaRefused: naming every topic that was not deleted; ``facts["deleted"]`` are those that were.
    """
    wanted = to_names(names)
    if not wanted:
        return ()
    with admin.wrap_errors(f"delete topics {', '.join(wanted)}"):
        response = admin.client.delete_topics(wanted, raise_errors=False)
    items = {item["name"]: item for item in response["topics"]}
    deleted = tuple(name for name in wanted if items[name]["error_code"] == 0)
    errors = (
        convert_code(item["error_code"], item.get("error_message"), admin.settings, f"delete topic {name}")
        for name, item in sorted(items.items())
        if item["error_code"] != _UNKNOWN_TOPIC
    )
    raise_all(errors, deleted=list(deleted))
    for _ in ticks(DELETION_SECONDS):  # the deletion is final, but brokers list the topic for a moment
        if not set(deleted) & set(list_topics(admin)):
            break
    return deleted


def list_topics(admin: Admin, prefix: str = "") -> tuple[str, ...]:
    """Return the sorted names of the topics that begin with ``prefix`` and that this client may see.

    Kafka's own topics, such as ``__consumer_offsets``, are among them.
    """
    with admin.wrap_errors("list topics"):
        return tuple(sorted(name for name in admin.client.list_topics() if name.startswith(prefix)))


@contextmanager
def notice_deletion(settings: KafkaSettings, name: str) -> Iterator[None]:
    """Say that a topic was deleted if the block fails for want of it: to a client, its brokers just do not respond then.

    :raises KafkaUnavailable: when the topic is gone; else the error of the block.
    """
    try:
        yield
    except (KafkaUnavailable, KafkaRefused) as error:
        if _is_deleted(settings, name):
            raise KafkaUnavailable(
                f"topic {name} on {settings.servers} was deleted while it was used, by another attempt of the task or by "
                "somebody else; retry"
            ) from error
        raise


def _is_deleted(settings: KafkaSettings, name: str) -> bool:
    try:
        with open_admin(settings) as admin:
            return name not in list_topics(admin)
    except MLSQLError:  # nobody knows
        return False


def describe_topic(admin: Admin, name: str) -> TopicDescription:
    """Return the topic's partitions with leaders, replicas and offsets, and all of its configs.

    :raises InputError: when there is no such topic; the error suggests a similar name.
    :raises KafkaRefused: when an ACL is missing: Describe and DescribeConfigs on the topic.
    """
    raw = fetch_metadata(admin, name)
    return TopicDescription(name, find_partitions(admin, raw), fetch_configs(admin, name), raw["is_internal"])


def alter_configs(admin: Admin, name: str, configs: Mapping[str, Any], *, validate_only: bool = False) -> None:
    """Set these configs of a topic, and leave the others as they are.

    :raises KafkaRefused: for a topic or a config that does not exist, a wrong value, a missing ACL (AlterConfigs).
    """
    from kafka.admin import ConfigResource

    if not configs:
        return
    doing = f"alter the configs of topic {name}"
    resource = ConfigResource("TOPIC", name, _to_texts(configs))
    with admin.wrap_errors(doing):
        response = admin.client.alter_configs([resource], validate_only=validate_only, raise_on_unknown=False)
    raise_all([convert_text(response["topic"][name], admin.settings, doing)])


def reset_configs(admin: Admin, name: str, keys: str | Iterable[str] = ()) -> tuple[str, ...]:
    """Give these configs of a topic, or all that were set on it, the cluster's values; return the configs that changed.

    :raises InputError: for a topic or a config that does not exist.
    :raises KafkaRefused: when an ACL is missing: DescribeConfigs, AlterConfigs.
    """
    from kafka.admin import ConfigResource

    fetch_metadata(admin, name)
    known = fetch_configs(admin, name)
    wanted = to_names(keys) or list(known)
    doing = f"reset the configs of topic {name}"
    for key in wanted:
        if key not in known:
            raise InputError(f"{doing} on {admin.settings.servers}: there is no config '{key}'{did_you_mean(key, known)}")
    changed = tuple(key for key in wanted if not known[key].is_default)
    if changed:
        with admin.wrap_errors(doing):
            response = admin.client.reset_configs([ConfigResource("TOPIC", name, list(changed))], raise_on_unknown=False)
        raise_all([convert_text(response["topic"][name], admin.settings, doing)])
    return changed


def add_partitions(admin: Admin, name: str, total: int, *, validate_only: bool = False) -> None:
    """Give the topic ``total`` partitions, and wait until each has a leader.

    Existing records stay where they are, so records of one key may then lie in two partitions.

    :raises KafkaRefused: when the topic does not exist or has as many partitions already, or an ACL is missing (Alter).
    """
    doing = f"add partitions to topic {name}"
    with admin.wrap_errors(doing):
        response = admin.client.create_partitions({name: total}, validate_only=validate_only, raise_errors=False)
    raise_all(convert_code(item.error_code, item.error_message, admin.settings, doing) for item in response.results)
    if not validate_only:
        wait_for_leaders(admin, name, LEADER_SECONDS, partitions=total)


def wait_for_topic(admin: Admin, name: str, *, records: int = 0, seconds: float = 60.0) -> int:
    """Wait until the topic exists, its partitions have leaders, and it holds ``records`` records; return how many it holds.

    Records are counted by offsets: see :class:`~mlsql_runtime.kafka.descriptions.TopicDescription`.

    :raises KafkaUnavailable: when that takes longer than ``seconds``.
    """
    deadline = time.monotonic() + seconds
    wait_for_leaders(admin, name, seconds)
    for _ in ticks(deadline - time.monotonic()):
        held = sum(each.records for each in find_partitions(admin, fetch_metadata(admin, name)))
        if held >= records:
            return held
    raise KafkaUnavailable(
        f"wait for topic {name} on {admin.settings.servers}: after {seconds:g} s it holds {held} records, expected {records}"
    )


def wait_for_leaders(admin: Admin, name: str, seconds: float, partitions: int = 1) -> None:
    """Wait until the topic has at least ``partitions`` partitions, each with a leader.

    :raises KafkaUnavailable: when that takes longer than ``seconds``.
    """
    doing = f"wait for topic {name}"
    for _ in ticks(seconds):
        with admin.wrap_errors(doing):
            (raw,) = admin.client.describe_topics([name])
        if raw["error_code"] not in (_UNKNOWN_TOPIC, *_WITHOUT_LEADER):
            raise_all([convert_code(raw["error_code"], None, admin.settings, doing)])
        count, led = len(raw["partitions"]), sum(each["leader_id"] >= 0 for each in raw["partitions"])
        if count >= partitions and led == count:
            return
    state = f"{led} of its {count} partitions have a leader" if count else "it does not exist"
    raise KafkaUnavailable(f"{doing} on {admin.settings.servers}: after {seconds:g} s {state}")


def fetch_metadata(admin: Admin, name: str) -> dict[str, Any]:
    """Return the topic's metadata, as kafka-python gives it.

    :raises InputError: when there is no such topic; the error suggests a similar name.
    """
    doing = f"describe topic {name}"
    with admin.wrap_errors(doing):
        (raw,) = admin.client.describe_topics([name])
    if raw["error_code"] == _UNKNOWN_TOPIC:
        hint = suggest_name(name, (each for each in list_topics(admin) if not each.startswith("__")))
        raise InputError(f"{doing} on {admin.settings.servers}: there is no such topic{hint}")
    raise_all([convert_code(raw["error_code"], None, admin.settings, doing)])
    return dict(raw)


def fetch_configs(admin: Admin, name: str) -> dict[str, Config]:
    """Return all configs of a topic that exists.

    :raises KafkaRefused: when the broker returns none; kafka-python drops its reason.
    """
    from kafka.admin import ConfigResource

    doing = f"describe the configs of topic {name}"
    with admin.wrap_errors(doing):
        response = admin.client.describe_configs([ConfigResource("TOPIC", name)], config_filter="all")
    given = response.get("topic", {}).get(name)
    if not given:
        who = client_name(admin.settings)
        raise KafkaRefused(f"{doing} on {admin.settings.servers}: {who} receives none; ask for an ACL DescribeConfigs")
    return {
        key: Config(config["value"], config["config_source"], config["config_source"] != "DYNAMIC_TOPIC_CONFIG")
        for key, config in sorted(given.items())
    }


def find_partitions(admin: Admin, raw: Mapping[str, Any]) -> tuple[Partition, ...]:
    """Return the partitions of a topic's metadata, with offsets for those that have a leader."""
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec

    led = [TopicPartition(raw["name"], each["partition_index"]) for each in raw["partitions"] if each["leader_id"] >= 0]
    begins, ends = {}, {}
    if led:
        with admin.wrap_errors(f"read the offsets of topic {raw['name']}"):
            begins = admin.client.list_partition_offsets(dict.fromkeys(led, OffsetSpec.EARLIEST))
            ends = admin.client.list_partition_offsets(dict.fromkeys(led, OffsetSpec.LATEST))
    offsets = {pair.partition: (begins[pair].offset, ends[pair].offset) for pair in led}
    return tuple(
        Partition(
            partition=each["partition_index"],
            leader=each["leader_id"] if each["leader_id"] >= 0 else None,
            replicas=tuple(each["replica_nodes"]),
            in_sync=tuple(each["isr_nodes"]),
            begin=offsets.get(each["partition_index"], (None, None))[0],
            end=offsets.get(each["partition_index"], (None, None))[1],
        )
        for each in sorted(raw["partitions"], key=lambda each: each["partition_index"])
    )


def to_names(names: str | Iterable[str]) -> list[str]:
    """Return the names sorted, each once; a string is one name, not its letters."""
    return [names] if isinstance(names, str) else sorted(set(names))


def _to_texts(configs: Mapping[str, Any]) -> dict[str, str]:
    return {key: format_option(value) for key, value in configs.items()}


def _check_settings(admin: Admin, name: str, wanted: Mapping[str, Any]) -> None:
    """Raise an error that lists where an existing topic differs from the arguments of its creation."""
    raw = fetch_metadata(admin, name)
    replicas = sorted({len(each["replica_nodes"]) for each in raw["partitions"]})
    found: dict[str, Any] = {
        "partitions": len(raw["partitions"]),
        "replication_factor": replicas[0] if len(replicas) == 1 else replicas,
    }
    expected = {"partitions": wanted["num_partitions"], "replication_factor": wanted["replication_factor"]}
    if wanted["configs"]:
        found |= dict.fromkeys(wanted["configs"], "not known to the broker")
        found |= {key: config.value for key, config in fetch_configs(admin, name).items()}
        expected |= wanted["configs"]
    differences = {
        key: {"expected": value, "got": found[key]} for key, value in expected.items() if value not in (-1, found[key])
    }
    if differences:
        listed = "; ".join(f"{key}: {each['got']}, expected {each['expected']}" for key, each in differences.items())
        raise InputError(
            f"topic {name} on {admin.settings.servers} exists with other settings ({listed}); alter the topic or the request",
            differences=differences,
        )
