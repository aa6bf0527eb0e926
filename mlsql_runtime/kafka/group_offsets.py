"""Move and delete the committed offsets of consumer groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from mlsql_runtime.errors import InputError, KafkaRefused
from mlsql_runtime.kafka.client_errors import explain, explained, raise_all
from mlsql_runtime.kafka.descriptions import OffsetChange
from mlsql_runtime.kafka.groups import asked, fetch_offsets, list_groups, offset_ranges, raw_group
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.kafka.topics import as_names

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

Pair: TypeAlias = tuple[str, int]
Explicit: TypeAlias = Mapping[Pair, int] | Mapping[str, Mapping[int, int]]
Target: TypeAlias = Literal["earliest", "latest"] | datetime | int | Explicit


def reset_offsets(
    admin: KafkaAdminClient,
    settings: KafkaSettings,
    group: str,
    to: Target,
    *,
    topics: str | Iterable[str] | None = None,
    dry_run: bool = False,
) -> tuple[OffsetChange, ...]:
    """Commit other offsets for a group without members, which may be new; answers each partition's offset before and after.

    :param to: ``"earliest"``; ``"latest"``; a point in time, as a datetime with a time zone or in milliseconds since 1970
        (UTC): the first record that is not older, the end when there is none; or offsets, as ``{("topic", 0): 5}`` or
        ``{"topic": {0: 5}}``.
    :param topics: whose partitions; without them, every topic that the group has committed offsets of. Not with offsets.
    :param dry_run: answer the same, fail in the same cases, and change nothing.
    :raises InputError: for a target that makes no sense, or an offset that the partition does not hold.
    :raises KafkaRefused: when the group has members, or an ACL is missing: Read on group and topics.
    """
    where = f"reset group {group} on {settings.servers}"
    explicit = _explicit(to, where) if isinstance(to, Mapping) else None
    before = fetch_offsets(admin, settings, group)
    if explicit is not None:
        if topics is not None:
            raise InputError(f"{where}: the offsets name their topics; give no topics besides")
        wanted = {topic for topic, _ in explicit}
    else:
        wanted = set(as_names(topics)) if topics is not None else {topic for topic, _ in before}
    if not wanted:
        raise InputError(f"{where}: it has committed no offsets; name the topics")
    ranges = offset_ranges(admin, settings, wanted)
    after = _checked(explicit, ranges, where) if explicit is not None else _resolved(admin, settings, to, ranges, where)
    _refuse_members(admin, settings, group)
    if not dry_run:
        _commit(admin, settings, group, after)
    return tuple(OffsetChange(*pair, before.get(pair), offset) for pair, offset in sorted(after.items()))


def delete_offsets(
    admin: KafkaAdminClient, settings: KafkaSettings, group: str, partitions: str | Iterable[str | Pair]
) -> tuple[Pair, ...]:
    """Forget what a group has committed, for whole topics or (topic, partition); answers the partitions that had an offset.

    :raises KafkaRefused: when members of the group read such a topic, or an ACL is missing.
    """
    from kafka import TopicPartition

    named = {partitions} if isinstance(partitions, str) else set(partitions)
    gone = sorted(pair for pair in fetch_offsets(admin, settings, group) if pair in named or pair[0] in named)
    if not gone:
        return ()
    doing = f"delete offsets of group {group}"
    answer = asked(settings, doing, lambda: admin.delete_group_offsets(group, [TopicPartition(*pair) for pair in gone]))
    _raise_refusals(answer, settings, doing)
    return tuple(gone)


def _explicit(offsets: Mapping[Any, Any], where: str) -> dict[Pair, int]:
    """Either notation, as (topic, partition) to offset."""
    found: dict[Pair, int] = {}
    for key, value in offsets.items():
        if isinstance(key, str) and isinstance(value, Mapping) and all(str(partition).isdigit() for partition in value):
            found |= {(key, int(partition)): offset for partition, offset in value.items()}  # JSON has text as keys
        elif isinstance(key, tuple) and len(key) == 2:
            found[(key[0], key[1])] = value
        else:
            raise InputError(f"{where}: {key!r}: {value!r} is no offset; expected ('topic', 0): 5 or 'topic': {{0: 5}}")
    if not found:
        raise InputError(f"{where}: no offsets are given; expected {{('topic', 0): 5}} or {{'topic': {{0: 5}}}}")
    return found


def _checked(explicit: Mapping[Pair, int], ranges: Mapping[Pair, tuple[int, int]], where: str) -> dict[Pair, int]:
    for (topic, partition), offset in sorted(explicit.items()):
        if (topic, partition) not in ranges:
            raise InputError(f"{where}: topic {topic} has no partition {partition} with a leader")
        begin, end = ranges[(topic, partition)]
        if isinstance(offset, bool) or not isinstance(offset, int) or not begin <= offset <= end:
            raise InputError(f"{where}: {offset!r} is no offset of partition {partition} of {topic}; expected {begin} to {end}")
    return dict(explicit)


def _resolved(
    admin: KafkaAdminClient, settings: KafkaSettings, to: object, ranges: Mapping[Pair, tuple[int, int]], where: str
) -> dict[Pair, int]:
    from kafka import TopicPartition
    from kafka.admin import OffsetTimestamp

    if to in ("earliest", "latest"):
        return {pair: offsets[0 if to == "earliest" else 1] for pair, offsets in ranges.items()}
    moment = OffsetTimestamp(_milliseconds(to, where))
    with explained(settings, f"look for a time in {', '.join(sorted({topic for topic, _ in ranges}))}"):
        found = admin.list_partition_offsets({TopicPartition(*pair): moment for pair in ranges})
    return {pair: found[pair].offset if found[pair].offset >= 0 else end for pair, (_, end) in ranges.items()}


def _milliseconds(to: object, where: str) -> int:
    if isinstance(to, datetime):
        if to.tzinfo is None:
            raise InputError(f"{where}: {to.isoformat()} has no time zone; give it one")
        return round(to.timestamp() * 1000)
    if isinstance(to, int) and not isinstance(to, bool) and to >= 0:
        return to
    raise InputError(f"{where}: to is {to!r}; expected 'earliest', 'latest', a datetime, milliseconds since 1970, or offsets")


def _refuse_members(admin: KafkaAdminClient, settings: KafkaSettings, group: str) -> None:
    raw = raw_group(admin, settings, group)
    if raw is None:  # of the newer group protocol, or not there
        who = "".join(each.state for each in list_groups(admin, settings) if each.group == group and each.state != "Empty")
    else:
        members = (f"{each['client_id']} on {each['client_host'].lstrip('/')}" for each in raw["members"])
        who = ", ".join(sorted(members))
    if who:
        raise KafkaRefused(f"reset group {group} on {settings.servers}: the group has members that read ({who}); end them first")


def _commit(admin: KafkaAdminClient, settings: KafkaSettings, group: str, offsets: Mapping[Pair, int]) -> None:
    from kafka import TopicPartition
    from kafka.structs import OffsetAndMetadata

    doing = f"reset group {group}"
    wanted = {TopicPartition(*pair): OffsetAndMetadata(offset, "", -1) for pair, offset in offsets.items()}
    _raise_refusals(asked(settings, doing, lambda: admin.alter_group_offsets(group, wanted)), settings, doing)


def _raise_refusals(answer: Mapping[Any, type[Exception]], settings: KafkaSettings, doing: str) -> None:
    """kafka-python answers a class of error for each partition."""
    from kafka.errors import NoError

    refused: dict[tuple[str, type[Exception]], list[int]] = {}
    for pair, kind in sorted(answer.items()):
        if kind is not NoError:
            refused.setdefault((pair.topic, kind), []).append(pair.partition)
    raise_all(
        [
            explain(kind(), settings, f"{doing} in topic {topic}, partitions {', '.join(map(str, partitions))}")
            for (topic, kind), partitions in refused.items()
        ]
    )
