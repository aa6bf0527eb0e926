"""A table as records of a Kafka topic, as a script is told about it. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class SentPartition:
    """What one Spark task sent: the only attempt of its partition that counts, how many records it made, of how many rows."""

    run: str
    partition: int
    attempt: int
    records: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class TableTopic:
    """The records of ``topic`` from ``starts`` up to, not including, ``ends`` (offsets by partition number, as text).

    ``parts`` is the feed's manifest, and None for JSON records of another producer. ``rows`` is how many there are in all;
    ``schema`` is Arrow's IPC schema message in base64; ``settings`` is a file with the client's settings, ``group`` the group
    whose committed offsets show how far the reader is.
    """

    tag: ClassVar[str] = "topic"
    topic: str
    starts: Mapping[str, int]
    ends: Mapping[str, int]
    parts: tuple[SentPartition, ...] | None
    rows: int
    schema: str
    group: str
    settings: str
