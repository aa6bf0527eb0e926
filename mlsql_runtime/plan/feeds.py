"""How the rows of a table reach the training scripts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.names import require_text


@dataclass(frozen=True, kw_only=True)
class FileFeed:
    """Data reach the training script as files that Spark writes in ``format`` (``enableDataLocal``).

    ``format`` None is JSON, as in MLSQL, or Parquet where the script cannot tell the difference.
    """

    tag: ClassVar[str] = "files"
    format: str | None = None
    file_num: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format is not None:
            require_text(self.format, "dataLocalFormat")
            object.__setattr__(self, "format", self.format.lower())  # Spark takes JSON for json
        if self.file_num is not None and self.file_num < 1:
            raise InputError(f"dataLocalFileNum is {self.file_num}; expected a number of files of at least 1")


@dataclass(frozen=True, kw_only=True)
class KafkaFeed:
    """Data reach the training script through a Kafka topic of this run's own, ``<topic>_<run>``; or what ``topic`` holds.

    ``settings`` are the client's, without passwords and certificates: these are in the job's secrets under ``secrets``.
    ``group`` is what the names of groups begin with, whose offsets show how far scripts have read.
    """

    tag: ClassVar[str] = "kafka"
    topic: str
    settings: Mapping[str, str]
    secrets: str | None = None
    group: str | None = None
    reuse: bool = False
    keep: bool = False
    partitions: int | None = None
    replication_factor: int | None = None
    topic_configs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_kafka_name(self.topic, "the topic (kafkaParam.topic)")
        if self.group is not None:
            _require_kafka_name(self.group, "the group (kafkaParam.group_id)")
        for number, what in ((self.partitions, "topic.partitions"), (self.replication_factor, "topic.replication.factor")):
            if number is not None and number < 1:
                raise InputError(f"{what} is {number}; expected at least 1")


def _require_kafka_name(name: str, what: str) -> None:
    """200 characters of 249: the run's own suffix follows."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name) or name in (".", ".."):
        raise InputError(f"{what} is {name!r}; expected up to 200 letters, digits, dots, underscores and hyphens", name=name)
