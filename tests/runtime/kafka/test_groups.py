"""Consumer groups on a real broker: looked at, moved, removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import pytest

from mlsql_runtime.errors import InputError, KafkaRefused
from mlsql_runtime.kafka import groups
from mlsql_runtime.kafka.clients import open_consumer
from mlsql_runtime.kafka.descriptions import CommittedOffset, OffsetChange, PartitionLag
from mlsql_runtime.kafka.settings import KafkaSettings

Make = Callable[..., str]
SECOND = datetime(2023, 11, 14, 22, 13, 21, tzinfo=timezone.utc)  # of the second record in every partition


@pytest.fixture
def group(admin: Any, kafka_settings: KafkaSettings, topic: Make, name: str) -> str:
    """A group that is named like its topic, which has five records and three; it has read two and none."""
    topic(5, 3)
    groups.reset_offsets(admin, name, {(name, 0): 2, (name, 1): 0})
    return name


@contextmanager
def reading(settings: KafkaSettings, group: str) -> Iterator[None]:
    """A member of the group that reads the topic of the same name."""
    with open_consumer(settings, group_id=group, client_id="reader", auto_offset_reset="earliest") as consumer:
        consumer.subscribe([group])
        while not consumer.assignment():
            consumer.poll(100)
        yield


def offsets(admin: Any, group: str) -> list[int]:
    return [each.offset for each in groups.committed_offsets(admin, group)]


def test_a_group_without_members(admin: Any, kafka_settings: KafkaSettings, group: str) -> None:
    found = groups.describe_group(admin, group)
    assert (found.state, found.kind, found.coordinator, found.members) == ("Empty", "classic", 1, ())
    assert (group, "Empty") in [(each.group, each.state) for each in groups.list_groups(admin)]
    assert groups.committed_offsets(admin, group) == (CommittedOffset(group, 0, 2), CommittedOffset(group, 1, 0))
    lag = groups.group_lag(admin, group)
    assert lag.partitions == (
        PartitionLag(group, 0, committed=2, end=5, lag=3),
        PartitionLag(group, 1, committed=0, end=3, lag=3),
    )
    assert lag.total == 6


def test_a_group_with_a_member(admin: Any, kafka_settings: KafkaSettings, group: str) -> None:
    with reading(kafka_settings, group):
        found = groups.describe_group(admin, group)
        assert found.state == "Stable"
        assert found.members is not None
        (member,) = found.members
        assert (member.client_id, member.host, member.assigned) == ("reader", "127.0.0.1", ((group, 0), (group, 1)))
        for dry_run in (True, False):
            with pytest.raises(KafkaRefused, match=rf"reset group {group} on .+ active members \(reader on 127.0.0.1\)"):
                groups.reset_offsets(admin, group, "earliest", dry_run=dry_run)
        with pytest.raises(KafkaRefused, match=rf"delete group {group} on .+ the group has active members; stop them first"):
            groups.delete_groups(admin, [group])
        with pytest.raises(
            KafkaRefused, match=rf"delete offsets of group {group} in topic {group}, partitions 0, 1 on .+ members"
        ):
            groups.delete_offsets(admin, group, [group])
    assert offsets(admin, group) == [2, 0]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("earliest", [0, 0]),
        ("latest", [5, 3]),
        (SECOND, [1, 1]),
        (round(SECOND.timestamp() * 1000) + 1500, [3, 3]),  # between two records, and behind the last
        (4_000_000_000_000, [5, 3]),
    ],
)
def test_every_partition_is_moved(admin: Any, kafka_settings: KafkaSettings, group: str, to: Any, expected: list[int]) -> None:
    foreseen = groups.reset_offsets(admin, group, to, dry_run=True)
    assert offsets(admin, group) == [2, 0]
    done = groups.reset_offsets(admin, group, to)
    assert done == foreseen == (OffsetChange(group, 0, 2, expected[0]), OffsetChange(group, 1, 0, expected[1]))
    assert offsets(admin, group) == expected


@pytest.mark.parametrize("per_topic", [False, True])
def test_named_offsets_leave_the_others(admin: Any, kafka_settings: KafkaSettings, group: str, per_topic: bool) -> None:
    to: Any = {group: {"1": 3}} if per_topic else {(group, 1): 3}
    expected = (OffsetChange(group, 1, 0, 3),)
    assert groups.reset_offsets(admin, group, to, dry_run=True) == expected
    assert offsets(admin, group) == [2, 0]
    assert groups.reset_offsets(admin, group, to) == expected
    assert offsets(admin, group) == [2, 3]


def test_a_group_that_is_new_is_made(admin: Any, kafka_settings: KafkaSettings, topic: Make) -> None:
    name = topic(1)
    change = (OffsetChange(name, 0, None, 1),)
    assert groups.reset_offsets(admin, name, "latest", topics=name, dry_run=True) == change
    with pytest.raises(InputError, match=rf"describe group {name} on .+ there is no such group"):
        groups.committed_offsets(admin, name)
    assert groups.reset_offsets(admin, name, "latest", topics=[name]) == change
    assert offsets(admin, name) == [1]


@pytest.mark.parametrize(
    ("to", "more", "message"),
    [
        ("first", {}, r"to is 'first'; expected 'earliest', 'latest', a datetime, milliseconds since 1970, or offsets"),
        (-1, {}, r"to is -1; expected 'earliest'"),
        (datetime(2024, 1, 1), {}, r"2024-01-01T00:00:00 has no time zone"),
        ({"T": {0: 6}}, {}, r"offset 6 for partition 0 of T; expected 0 to 5"),
        ({"T": {0: "2"}}, {}, r"offset '2' for partition 0 of T; expected 0 to 5"),
        ({"T": {7: 0}}, {}, r"topic T has no partition 7 with a leader"),
        ({"T": 3}, {}, r"'T': 3 is not an offset; expected \('topic', 0\): 5 or 'topic': \{0: 5\}"),
        ({"T": {"x": 3}}, {}, r"'T': \{'x': 3\} is not an offset; expected"),
        ({}, {}, r"no offsets are given"),
        ({"T": {0: 1}}, {"topics": ["T"]}, r"the offsets name their topics; leave out the argument topics"),
        ("latest", {"topics": []}, r"it has committed no offsets; name the topics"),
        ("latest", {"topics": ["not-there"]}, r"topic not-there on .+ there is no such topic"),
    ],
)
def test_a_reset_that_makes_no_sense(
    admin: Any, kafka_settings: KafkaSettings, group: str, to: Any, more: dict[str, Any], message: str
) -> None:
    target = {group if key == "T" else key: value for key, value in to.items()} if isinstance(to, dict) else to
    for dry_run in (True, False):
        with pytest.raises(InputError, match=message.replace(" T", f" {group}").replace("'T'", f"'{group}'")):
            groups.reset_offsets(admin, group, target, dry_run=dry_run, **more)
    assert offsets(admin, group) == [2, 0]


def test_offsets_are_forgotten(admin: Any, kafka_settings: KafkaSettings, group: str) -> None:
    assert groups.delete_offsets(admin, group, [(group, 0), (group, 9), "else"]) == ((group, 0),)
    (first, second) = groups.group_lag(admin, group).partitions
    assert (first.committed, first.lag, second.committed) == (None, 5, 0)
    assert groups.delete_offsets(admin, group, group) == ((group, 1),)
    assert groups.delete_offsets(admin, group, group) == ()


def test_groups_are_deleted(admin: Any, kafka_settings: KafkaSettings, group: str) -> None:
    assert groups.delete_groups(admin, [group, f"{group}-not-there"]) == (group,)
    assert groups.delete_groups(admin, group) == ()
    with pytest.raises(InputError, match=rf"describe group {group} on .+ there is no such group"):
        groups.group_lag(admin, group)
