"""Topics: change what is there, or make sure that it is as asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mlsql_runtime.errors import InputError, KafkaRefused, did_you_mean
from mlsql_runtime.kafka.client_errors import explain_code, explain_text, explained
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.kafka.topics import (
    LEADER_SECONDS,
    NOTHING,
    as_names,
    as_text,
    create_topic,
    list_topics,
    require_topic,
    topic_configs,
    wait_for_leaders,
)

if TYPE_CHECKING:
    from kafka import KafkaAdminClient


def ensure_topic(
    admin: KafkaAdminClient,
    settings: KafkaSettings,
    name: str,
    *,
    partitions: int = -1,
    replication_factor: int = -1,
    configs: Mapping[str, str] = NOTHING,
    validate_only: bool = False,
) -> bool:
    """Create the topic, or see that the one that is there is as asked; True when it was created.

    -1 and configs that are not named are not compared. Other arguments and errors are those of ``create_topic``.

    :raises InputError: listing every difference between the topic that is there and what is asked.
    """
    if name not in list_topics(admin, settings):
        try:
            create_topic(
                admin,
                settings,
                name,
                partitions=partitions,
                replication_factor=replication_factor,
                configs=configs,
                validate_only=validate_only,
            )
            return not validate_only
        except KafkaRefused as error:  # somebody else may just have created it
            if error.facts.get("error") != "TopicAlreadyExistsError":
                raise
    found = _differences(admin, settings, name, partitions, replication_factor, configs)
    if found:
        told = "; ".join(f"{what} is {got}, expected {expected}" for what, (expected, got) in found.items())
        raise InputError(
            f"create topic {name} on {settings.servers}: it is there, but not as asked: {told}; change it, or what is asked",
            topic=name,
            differences={what: {"expected": expected, "got": got} for what, (expected, got) in found.items()},
        )
    return False


def alter_configs(
    admin: KafkaAdminClient, settings: KafkaSettings, name: str, configs: Mapping[str, str], *, validate_only: bool = False
) -> None:
    """Set these configs of a topic, and leave the others as they are.

    :raises KafkaRefused: for a topic or a config that is not there, a wrong value, a missing ACL (AlterConfigs).
    """
    from kafka.admin import ConfigResource

    if not configs:
        return
    doing = f"alter the configs of topic {name}"
    with explained(settings, doing):
        answer = admin.alter_configs(
            [ConfigResource("TOPIC", name, as_text(configs))], validate_only=validate_only, raise_on_unknown=False
        )
    _raise_refusal(answer["topic"][name], settings, doing)


def reset_configs(admin: KafkaAdminClient, settings: KafkaSettings, name: str, keys: str | Iterable[str] = ()) -> tuple[str, ...]:
    """Have the topic take the cluster's values for these configs, or for all that were set on it; answers which those were.

    :raises InputError: for a topic or a config that is not there.
    :raises KafkaRefused: when an ACL is missing: DescribeConfigs, AlterConfigs.
    """
    from kafka.admin import ConfigResource

    require_topic(admin, settings, name)
    known = topic_configs(admin, settings, name)
    wanted = as_names(keys) or list(known)
    doing = f"reset the configs of topic {name}"
    for key in wanted:
        if key not in known:
            raise InputError(f"{doing} on {settings.servers}: there is no config '{key}'{did_you_mean(key, known)}", config=key)
    changed = tuple(key for key in wanted if not known[key].is_default)
    if changed:
        with explained(settings, doing):
            answer = admin.reset_configs([ConfigResource("TOPIC", name, list(changed))], raise_on_unknown=False)
        _raise_refusal(answer["topic"][name], settings, doing)
    return changed


def add_partitions(
    admin: KafkaAdminClient, settings: KafkaSettings, name: str, total: int, *, validate_only: bool = False
) -> None:
    """Give the topic ``total`` partitions, and wait until each has a leader. Records stay where they are: keys may move.

    :raises KafkaRefused: when the topic has as many or more already, or is not there, or an ACL is missing (Alter).
    """
    doing = f"add partitions to topic {name}"
    with explained(settings, doing):
        answer = admin.create_partitions({name: total}, validate_only=validate_only, raise_errors=False)
    for item in answer.results:
        if item.error_code:
            raise explain_code(item.error_code, item.error_message, settings, doing)
    if not validate_only:
        wait_for_leaders(admin, settings, name, LEADER_SECONDS, partitions=total)


def _differences(
    admin: KafkaAdminClient,
    settings: KafkaSettings,
    name: str,
    partitions: int,
    replication_factor: int,
    configs: Mapping[str, str],
) -> dict[str, tuple[int | str, int | str | None]]:
    """What is not as asked: its name, what was expected, what is there."""
    raw = require_topic(admin, settings, name)
    replicas = {len(each["replica_nodes"]) for each in raw["partitions"]}
    found: dict[str, tuple[int | str, int | str | None]] = {}
    if partitions not in (-1, len(raw["partitions"])):
        found["partitions"] = (partitions, len(raw["partitions"]))
    if replication_factor != -1 and replicas != {replication_factor}:
        found["replication_factor"] = (replication_factor, max(replicas))
    if configs:
        present = topic_configs(admin, settings, name)
        for key, value in as_text(configs).items():
            got = present[key].value if key in present else "not known to the broker"
            if got != value:
                found[key] = (value, got)
    return found


def _raise_refusal(told: str, settings: KafkaSettings, doing: str) -> None:
    if told != "OK":
        raise explain_text(told, settings, doing)
