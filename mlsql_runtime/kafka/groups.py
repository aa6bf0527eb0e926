"""Consumer groups. Every function takes an open admin client, and the settings to name brokers in errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from mlsql_runtime.kafka.problems import explain_text, explained, raise_all
from mlsql_runtime.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

COORDINATOR_SECONDS = 15.0
Answer = TypeVar("Answer")


def delete_groups(admin: KafkaAdminClient, settings: KafkaSettings, groups: Iterable[str]) -> tuple[str, ...]:
    """Delete the groups that exist, with their committed offsets; answers their names.

    :raises KafkaRefused: naming every group that was not deleted, for it has members or an ACL is missing;
        ``facts["deleted"]`` are those that were.
    """
    wanted = sorted(set(groups))
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
                time.sleep(0.2)
