"""Look at a broker, independently of the code under test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsql_runtime.kafka.clients import open_admin
from mlsql_runtime.kafka.groups import list_groups
from mlsql_runtime.kafka.topics import list_topics

if TYPE_CHECKING:
    from mlsql_runtime.kafka.settings import KafkaSettings


def names_with(settings: KafkaSettings, prefix: str) -> list[str]:
    """Return the topics and groups whose names begin with ``prefix``."""
    with open_admin(settings) as admin:
        groups = [group.group for group in list_groups(admin) if group.group.startswith(prefix)]
        return [*list_topics(admin, prefix), *groups]
