"""Consumer groups: describe them, move their committed offsets, and delete them. Every function takes an open admin client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypeVar

from mlsql_runtime.errors import InputError, KafkaRefused
from mlsql_runtime.kafka.client_errors import convert_error, convert_text, raise_all, suggest_name
from mlsql_runtime.kafka.clients import Admin
from mlsql_runtime.kafka.connection import ticks
from mlsql_runtime.kafka.descriptions import (
    CommittedOffset,
    Group,
    GroupDescription,
    GroupLag,
    Member,
    OffsetChange,
    PartitionLag,
)
from mlsql_runtime.kafka.topics import fetch_metadata, find_partitions, to_names

COORDINATOR_SECONDS = 15.0
TopicAndPartition: TypeAlias = tuple[str, int]
Offsets: TypeAlias = dict[TopicAndPartition, int]
ResetTarget: TypeAlias = (
    Literal["earliest", "latest"] | datetime | int | Mapping[TopicAndPartition, int] | Mapping[str, Mapping[int, int]]
)
Response = TypeVar("Response")


def list_groups(admin: Admin) -> tuple[Group, ...]:
    """Return the groups that this client may see, sorted by name."""
    with admin.wrap_errors("describe the cluster"):
        brokers = [each["broker_id"] for each in admin.client.describe_cluster()["brokers"] if not each.get("is_fenced")]
    found = []
    for broker in brokers:
        raw = _ask_coordinator(admin, "list groups", lambda: admin.client.list_groups(broker_ids=[broker]))  # noqa: B023
        found += [Group(each["group_id"], each["group_state"], each["group_type"], broker) for each in raw]
    return tuple(sorted(found, key=lambda each: each.group))


def describe_group(admin: Admin, group: str) -> GroupDescription:
    """Return a group's state, coordinator and members, with the partitions that they read.

    :raises InputError: when there is no such group; the error suggests a similar name.
    :raises KafkaRefused: when an ACL is missing: Describe on the group.
    """
    raw = _fetch_group(admin, group)
    listed = {each.group: each for each in list_groups(admin)}
    if group not in listed:
        hint = suggest_name(group, listed)
        raise InputError(f"describe group {group} on {admin.settings.servers}: there is no such group{hint}")
    known = listed[group]
    members = None if raw is None else tuple(_to_member(each) for each in raw["members"])
    return GroupDescription(group, known.state, known.kind, known.coordinator, members)


def committed_offsets(admin: Admin, group: str) -> tuple[CommittedOffset, ...]:
    """Return the committed offsets of a group, sorted by topic and partition.

    :raises InputError: when there is no such group.
    """
    found = _fetch_offsets(admin, group)
    if not found:
        describe_group(admin, group)
    return tuple(CommittedOffset(topic, partition, offset) for (topic, partition), offset in sorted(found.items()))


def group_lag(admin: Admin, group: str) -> GroupLag:
    """Return how far the group is behind, in every partition of the topics for which it has committed offsets.

    :raises InputError: when there is no such group.
    """
    committed = {(each.topic, each.partition): each.offset for each in committed_offsets(admin, group)}
    found = []
    for pair, (begin, end) in sorted(_fetch_ranges(admin, {topic for topic, _ in committed}).items()):
        found.append(PartitionLag(*pair, committed.get(pair), end, end - committed.get(pair, begin)))
    return GroupLag(group, tuple(found))


def reset_offsets(
    admin: Admin, group: str, to: ResetTarget, *, topics: str | Iterable[str] | None = None, dry_run: bool = False
) -> tuple[OffsetChange, ...]:
    """Commit other offsets for a group without members; return each partition's offset before and after.

    A group that does not exist is created.

    :param to: ``"earliest"``; ``"latest"``; a point in time, as a datetime with a time zone or in milliseconds since 1970
        (UTC), for the first record that is not older, or the end without such a record; or offsets, as
        ``{("topic", 0): 5}`` or ``{"topic": {0: 5}}``.
    :param topics: the topics to reset; by default, those for which the group has committed offsets. Not with offsets.
    :param dry_run: return the same and fail in the same cases, but change nothing.
    :raises InputError: for an invalid target, or an offset that the partition does not hold.
    :raises KafkaRefused: when the group has members, or an ACL is missing: Read on group and topics.
    """
    doing = f"reset group {group}"
    where = f"{doing} on {admin.settings.servers}"
    explicit = _parse_offsets(to, where) if isinstance(to, Mapping) else None
    before = _fetch_offsets(admin, group)
    if explicit is not None:
        if topics is not None:
            raise InputError(f"{where}: the offsets name their topics; leave out the argument topics")
        wanted = {topic for topic, _ in explicit}
    else:
        wanted = set(to_names(topics)) if topics is not None else {topic for topic, _ in before}
    if not wanted:
        raise InputError(f"{where}: it has committed no offsets; name the topics")
    ranges = _fetch_ranges(admin, wanted)
    if explicit is None:
        after = _find_offsets(admin, to, ranges, where)
    else:
        _check_offsets(explicit, ranges, where)
        after = explicit
    _check_no_members(admin, group, where)
    if not dry_run:
        _commit(admin, group, after, doing)
    return tuple(OffsetChange(*pair, before.get(pair), offset) for pair, offset in sorted(after.items()))


def delete_offsets(
    admin: Admin, group: str, partitions: str | Iterable[str | TopicAndPartition]
) -> tuple[TopicAndPartition, ...]:
    """Delete committed offsets of a group, for whole topics or (topic, partition); return the partitions that had one.

    :raises KafkaRefused: when members of the group read such a topic, or an ACL is missing.
    """
    from kafka import TopicPartition

    named = {partitions} if isinstance(partitions, str) else set(partitions)
    deleted = sorted(pair for pair in _fetch_offsets(admin, group) if pair in named or pair[0] in named)
    if deleted:
        doing = f"delete offsets of group {group}"
        pairs = [TopicPartition(*pair) for pair in deleted]
        _raise_refusals(admin, _ask_coordinator(admin, doing, lambda: admin.client.delete_group_offsets(group, pairs)), doing)
    return tuple(deleted)


def delete_groups(admin: Admin, names: str | Iterable[str]) -> tuple[str, ...]:
    """Delete the groups that exist (one name, or several) with their committed offsets, and return their names.

    :raises KafkaRefused: naming every group that was not deleted, because it has members or an ACL is missing;
        ``facts["deleted"]`` are those that were.
    """
    wanted = to_names(names)
    if not wanted:
        return ()
    response = _ask_coordinator(admin, f"delete groups {', '.join(wanted)}", lambda: admin.client.delete_groups(wanted))
    deleted = tuple(group for group in wanted if response[group] == "OK")
    existing = [group for group in wanted if response[group] != "GroupIdNotFoundError"]
    raise_all(
        (convert_text(response[group], admin.settings, f"delete group {group}") for group in existing), deleted=list(deleted)
    )
    return deleted


def _ask_coordinator(admin: Admin, doing: str, ask: Callable[[], Response]) -> Response:
    """Return what ``ask`` returns, and repeat it for up to 15 s while the group has no coordinator.

    A cluster that never had a group first creates its topic of offsets.
    """
    from kafka import errors

    with admin.wrap_errors(doing):
        for _ in ticks(COORDINATOR_SECONDS):
            try:
                return ask()
            except (errors.CoordinatorNotAvailableError, errors.CoordinatorLoadInProgressError, errors.NotCoordinatorError) as e:
                failure = e
        raise failure


def _fetch_group(admin: Admin, group: str) -> Mapping[str, Any] | None:
    """Return the group as kafka-python describes it; None when it does not exist, or uses the newer group protocol."""
    doing = f"describe group {group}"
    raw = _ask_coordinator(admin, doing, lambda: admin.client.describe_groups([group]))[group]
    if raw["group_state"] == "Dead":
        return None
    raise_all([convert_text(raw["error"], admin.settings, doing)])
    return dict(raw)


def _fetch_offsets(admin: Admin, group: str) -> Offsets:
    """Return the committed offsets of a group; none for a group that does not exist."""
    doing = f"read the offsets of group {group}"
    given = _ask_coordinator(admin, doing, lambda: admin.client.list_group_offsets({group: None}))
    return {(pair.topic, pair.partition): each.offset for pair, each in given[group].items() if each.offset >= 0}


def _fetch_ranges(admin: Admin, topics: Iterable[str]) -> dict[TopicAndPartition, tuple[int, int]]:
    """Return (begin, end) of every partition of these topics that has a leader.

    :raises InputError: for a topic that does not exist.
    """
    return {
        (topic, each.partition): (each.begin, each.end)
        for topic in sorted(topics)
        for each in find_partitions(admin, fetch_metadata(admin, topic))
        if each.begin is not None and each.end is not None
    }


def _to_member(raw: Mapping[str, Any]) -> Member:
    given = raw["member_assignment"]  # bytes for a member that is not a consumer
    topics = given["assigned_partitions"] if isinstance(given, Mapping) else ()
    assigned = tuple((each["topic"], partition) for each in topics for partition in each["partitions"])
    return Member(raw["member_id"], raw["client_id"], raw["client_host"].lstrip("/"), assigned)


def _parse_offsets(offsets: Mapping[Any, Any], where: str) -> Offsets:
    """Return offsets of either notation by (topic, partition)."""
    found: Offsets = {}
    for key, value in offsets.items():
        if isinstance(key, str) and isinstance(value, Mapping) and all(str(partition).isdigit() for partition in value):
            found |= {(key, int(partition)): offset for partition, offset in value.items()}  # keys of JSON are strings
        elif isinstance(key, tuple) and len(key) == 2:
            found[(key[0], key[1])] = value
        else:
            raise InputError(f"{where}: {key!r}: {value!r} is not an offset; expected ('topic', 0): 5 or 'topic': {{0: 5}}")
    if not found:
        raise InputError(f"{where}: no offsets are given; expected {{('topic', 0): 5}} or {{'topic': {{0: 5}}}}")
    return found


def _check_offsets(offsets: Offsets, ranges: Mapping[TopicAndPartition, tuple[int, int]], where: str) -> None:
    for (topic, partition), offset in sorted(offsets.items()):
        if (topic, partition) not in ranges:
            raise InputError(f"{where}: topic {topic} has no partition {partition} with a leader")
        begin, end = ranges[(topic, partition)]
        if isinstance(offset, bool) or not isinstance(offset, int) or not begin <= offset <= end:
            raise InputError(f"{where}: offset {offset!r} for partition {partition} of {topic}; expected {begin} to {end}")


def _find_offsets(admin: Admin, to: object, ranges: Mapping[TopicAndPartition, tuple[int, int]], where: str) -> Offsets:
    """Return the offset of every partition at the beginning, at the end or at a point in time."""
    from kafka import TopicPartition
    from kafka.admin import OffsetTimestamp

    if to in ("earliest", "latest"):
        return {pair: offsets[0 if to == "earliest" else 1] for pair, offsets in ranges.items()}
    moment = OffsetTimestamp(_to_milliseconds(to, where))
    with admin.wrap_errors(f"find offsets by time in {', '.join(sorted({topic for topic, _ in ranges}))}"):
        found = admin.client.list_partition_offsets({TopicPartition(*pair): moment for pair in ranges})
    return {pair: found[pair].offset if found[pair].offset >= 0 else end for pair, (_, end) in ranges.items()}


def _to_milliseconds(moment: object, where: str) -> int:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise InputError(f"{where}: {moment.isoformat()} has no time zone; add one")
        return round(moment.timestamp() * 1000)
    if isinstance(moment, int) and not isinstance(moment, bool) and moment >= 0:
        return moment
    raise InputError(f"{where}: to is {moment!r}; expected 'earliest', 'latest', a datetime, milliseconds since 1970, or offsets")


def _check_no_members(admin: Admin, group: str, where: str) -> None:
    raw = _fetch_group(admin, group)
    if raw is None:  # it uses the newer group protocol, or does not exist
        members = [each.state for each in list_groups(admin) if each.group == group and each.state != "Empty"]
    else:
        members = sorted(f"{each['client_id']} on {each['client_host'].lstrip('/')}" for each in raw["members"])
    if members:
        raise KafkaRefused(f"{where}: the group has active members ({', '.join(members)}); stop them first")


def _commit(admin: Admin, group: str, offsets: Offsets, doing: str) -> None:
    from kafka import TopicPartition
    from kafka.structs import OffsetAndMetadata

    wanted = {TopicPartition(*pair): OffsetAndMetadata(offset, "", -1) for pair, offset in offsets.items()}
    _raise_refusals(admin, _ask_coordinator(admin, doing, lambda: admin.client.alter_group_offsets(group, wanted)), doing)


def _raise_refusals(admin: Admin, response: Mapping[Any, type[Exception]], doing: str) -> None:
    """Raise the errors of a response as one; kafka-python returns a class of error for each partition."""
    from kafka.errors import NoError

    refused: dict[tuple[str, type[Exception]], list[int]] = {}
    for pair, kind in sorted(response.items()):
        if kind is not NoError:
            refused.setdefault((pair.topic, kind), []).append(pair.partition)
    raise_all(
        convert_error(kind(), admin.settings, f"{doing} in topic {topic}, partitions {', '.join(map(str, partitions))}")
        for (topic, kind), partitions in refused.items()
    )
