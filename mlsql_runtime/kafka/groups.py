"""Consumer groups: look, and delete. Every function takes an open admin client, and the settings to name brokers in errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from mlsql_runtime.errors import InputError
from mlsql_runtime.kafka.client_errors import explain_text, explained, nearest, raise_all
from mlsql_runtime.kafka.descriptions import CommittedOffset, Group, GroupDescription, GroupLag, Member, PartitionLag
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.kafka.topics import as_names, partitions_of, require_topic

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

COORDINATOR_SECONDS = 15.0
_TICK_SECONDS = 0.2
Answer = TypeVar("Answer")


def list_groups(admin: KafkaAdminClient, settings: KafkaSettings) -> tuple[Group, ...]:
    """The groups that this client may see, sorted by name."""
    with explained(settings, "describe the cluster"):
        brokers = admin.describe_cluster()["brokers"]
    found = [
        each for broker in brokers if not broker.get("is_fenced") for each in _groups_of(admin, settings, broker["broker_id"])
    ]
    return tuple(sorted(found, key=lambda each: each.group))


def describe_group(admin: KafkaAdminClient, settings: KafkaSettings, group: str) -> GroupDescription:
    """A group with its members and what they read.

    :raises InputError: when there is no such group; the error names one that is spelt nearly so.
    :raises KafkaRefused: when an ACL is missing: Describe on the group.
    """
    doing = f"describe group {group}"
    raw = raw_group(admin, settings, group)
    listed = {each.group: each for each in list_groups(admin, settings)}
    if group not in listed:
        raise InputError(f"{doing} on {settings.servers}: there is no such group{nearest(group, listed)}", group=group)
    known = listed[group]
    members = None if raw is None else tuple(_member(each) for each in raw["members"])
    return GroupDescription(group, known.state, known.kind, known.coordinator, members)


def committed_offsets(admin: KafkaAdminClient, settings: KafkaSettings, group: str) -> tuple[CommittedOffset, ...]:
    """What the group has committed, sorted by topic and partition; empty for a group that has committed nothing.

    :raises InputError: when there is no such group.
    """
    found = fetch_offsets(admin, settings, group)
    if not found:
        describe_group(admin, settings, group)
    return tuple(CommittedOffset(topic, partition, offset) for (topic, partition), offset in sorted(found.items()))


def group_lag(admin: KafkaAdminClient, settings: KafkaSettings, group: str) -> GroupLag:
    """How far the group is behind, in every partition of the topics that it has committed offsets of.

    :raises InputError: when there is no such group.
    """
    committed = {(each.topic, each.partition): each.offset for each in committed_offsets(admin, settings, group)}
    found = []
    for pair, (begin, end) in sorted(offset_ranges(admin, settings, {topic for topic, _ in committed}).items()):
        read_to = committed.get(pair)
        found.append(PartitionLag(*pair, read_to, end, end - (begin if read_to is None else read_to)))
    return GroupLag(group, tuple(found))


def delete_groups(admin: KafkaAdminClient, settings: KafkaSettings, groups: str | Iterable[str]) -> tuple[str, ...]:
    """Delete the groups that exist (one name, or several), with their committed offsets; answers their names.

    :raises KafkaRefused: naming every group that was not deleted, for it has members or an ACL is missing;
        ``facts["deleted"]`` are those that were.
    """
    wanted = as_names(groups)
    if not wanted:
        return ()
    answer = asked(settings, f"delete groups {', '.join(wanted)}", lambda: admin.delete_groups(wanted))
    deleted = tuple(group for group in wanted if answer[group] == "OK")
    raise_all(
        [
            explain_text(answer[group], settings, f"delete group {group}")
            for group in wanted
            if answer[group] not in ("OK", "GroupIdNotFoundError")
        ],
        deleted=list(deleted),
    )
    return deleted


def asked(settings: KafkaSettings, doing: str, ask: Callable[[], Answer]) -> Answer:
    """What ``ask`` answers. A cluster that never had a group first makes a place for offsets, and says it has no coordinator."""
    from kafka import errors

    deadline = time.monotonic() + COORDINATOR_SECONDS
    with explained(settings, doing):
        while True:
            try:
                return ask()
            except (errors.CoordinatorNotAvailableError, errors.CoordinatorLoadInProgressError, errors.NotCoordinatorError):
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_TICK_SECONDS)


def raw_group(admin: KafkaAdminClient, settings: KafkaSettings, group: str) -> Mapping[str, Any] | None:
    """The group as kafka-python describes it; None when it does not exist, or uses the newer group protocol."""
    doing = f"describe group {group}"
    raw = asked(settings, doing, lambda: admin.describe_groups([group]))[group]
    if raw["group_state"] == "Dead":
        return None
    if raw["error"]:
        raise explain_text(raw["error"], settings, doing)
    return dict(raw)


def fetch_offsets(admin: KafkaAdminClient, settings: KafkaSettings, group: str) -> dict[tuple[str, int], int]:
    """Committed offsets by (topic, partition); none for a group that does not exist."""
    given = asked(settings, f"ask for the offsets of group {group}", lambda: admin.list_group_offsets({group: None}))
    return {(pair.topic, pair.partition): each.offset for pair, each in given[group].items() if each.offset >= 0}


def offset_ranges(
    admin: KafkaAdminClient, settings: KafkaSettings, topics: Iterable[str]
) -> dict[tuple[str, int], tuple[int, int]]:
    """Begin and end of every partition of these topics that has a leader.

    :raises InputError: for a topic that does not exist.
    """
    return {
        (topic, each.partition): (each.begin, each.end)
        for topic in sorted(topics)
        for each in partitions_of(admin, settings, require_topic(admin, settings, topic))
        if each.begin is not None and each.end is not None
    }


def _groups_of(admin: KafkaAdminClient, settings: KafkaSettings, broker: int) -> list[Group]:
    """The groups that a broker coordinates."""
    given = asked(settings, "list groups", lambda: admin.list_groups(broker_ids=[broker]))
    return [Group(each["group_id"], each["group_state"], each["group_type"], broker) for each in given]


def _member(raw: Mapping[str, Any]) -> Member:
    given = raw["member_assignment"]  # bytes where a client that is no consumer put something of its own
    topics = given["assigned_partitions"] if isinstance(given, Mapping) else ()
    assigned = tuple((each["topic"], partition) for each in topics for partition in each["partitions"])
    return Member(raw["member_id"], raw["client_id"], raw["client_host"].lstrip("/"), assigned)
