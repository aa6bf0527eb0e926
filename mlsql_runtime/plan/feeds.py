"""The ways in which the rows of a table reach the training scripts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mlsql_runtime.plan.options import REQUIRED, OptionReader, check_options, option
from mlsql_runtime.plan.parsers import BOOLEAN, MAPPING, TEXT, Parser, whole

LEAST_BYTES = 64 << 10  # of a topic's largest record: one holds many rows
_LARGEST = "max.message.bytes"


def _is_kafka_name(name: str) -> bool:
    """Return whether topics or groups can have a name: 200 characters of Kafka's 249, because the run's own suffix follows."""
    return re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name) is not None and name not in (".", "..")


_KAFKA_NAME = Parser(
    "name",
    "up to 200 letters, digits, dots, underscores and hyphens",
    TEXT.convert,
    _is_kafka_name,
)
_FORMAT = Parser(
    "Spark format",
    "the name of a Spark format, such as json or parquet",
    lambda value, name, resolver: str(value).lower(),  # Spark takes JSON for json
    lambda value: bool(value.strip()),
)


@dataclass(frozen=True, kw_only=True)
class FileFeed:
    """Rows reach the training script as files that Spark writes."""

    tag: ClassVar[str] = "files"
    format: str | None = option(
        "dataLocalFormat",
        _FORMAT,
        None,
        "Format in which Spark writes the script's data files; by default Parquet, and JSON for a script that reads the files "
        "itself.",
    )
    file_num: int | None = option(
        "dataLocalFileNum", whole(1), None, "Number of the script's data files; Spark decides by default.", unit="files"
    )
    options: Mapping[str, str] = option(
        "dataLocal.option.<name>", MAPPING, {}, "Options of Spark's writer for these files.", argument="data_local_options"
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.format is not None:
            object.__setattr__(self, "format", self.format.lower())


@dataclass(frozen=True, kw_only=True)
class KafkaFeed:
    """Rows reach the training script through a Kafka topic of the run's own, ``<topic>_<run>``, or from what ``topic`` holds.

    ``settings`` are the client's, without passwords and certificates: these are in the job's secrets under ``secrets``.
    """

    tag: ClassVar[str] = "kafka"
    topic: str = option(
        "kafkaParam.topic",
        _KAFKA_NAME,
        REQUIRED,
        "Prefix of the name of the run's own topic, which the run deletes at its end; with ``kafkaParam.reuse``, the topic to "
        "read.",
        argument="kafka_topic",
    )
    group: str | None = option(
        "kafkaParam.group_id",
        _KAFKA_NAME,
        None,
        "Prefix of the consumer groups ``<group>_<job>_<alg_index>``, whose offsets show how far each script has read. The run "
        "deletes them at its end; the prefix is the topic by default.",
        argument="kafka_group_id",
    )
    reuse: bool = option(
        "kafkaParam.reuse",
        BOOLEAN,
        False,
        "Train on the records that the topic holds when the job begins, instead of a table.",
        argument="kafka_reuse",
    )
    keep: bool = option("kafkaParam.keep", BOOLEAN, False, "Keep the run's topic instead of deleting it.", argument="kafka_keep")
    partitions: int | None = option(
        "kafkaParam.topic.partitions",
        whole(1),
        None,
        "Number of partitions of the run's topic; by default Spark's default parallelism, 12 at most.",
        argument="kafka_config",
        key="topic.partitions",
    )
    replication_factor: int | None = option(
        "kafkaParam.topic.replication.factor",
        whole(1),
        None,
        "Number of replicas of each partition; the broker's default otherwise.",
        argument="kafka_config",
        key="topic.replication.factor",
    )
    topic_configs: Mapping[str, str] = option(
        "kafkaParam.topic.<name>",
        MAPPING,
        {},
        "Any other setting of the run's topic, such as ``topic.retention.ms``.",
        argument="kafka_config",
        key="topic.",
    )
    settings: Mapping[str, str] = option(
        "kafkaParam.<name>",
        MAPPING,
        {},
        "A setting of the Kafka client, such as ``bootstrap.servers``.",
        argument="kafka_config",
        key="",
    )
    secrets: str | None = None

    def __post_init__(self) -> None:
        check_options(self)

    @staticmethod
    def combine(values: dict[str, Any], reader: OptionReader) -> None:
        """Report options that contradict each other."""
        configs = values["topic_configs"]
        own = [f"topic.{name}" for name in ("partitions", "replication_factor") if values[name] is not None]
        own = [name.replace("_", ".") for name in own] + [f"topic.{name}" for name in configs]
        if not values["topic"]:
            reader.report("kafkaParam.topic", "no topic is given as kafka_topic or kafkaParam.topic; name one")
        elif values["reuse"] and own:
            message = f"topic '{values['topic']}' is reused as it is, so {', '.join(own)} cannot be set; leave them out"
            reader.report(f"kafkaParam.{own[0]}", message)
        try:
            if int(configs.get(_LARGEST, LEAST_BYTES)) >= LEAST_BYTES:
                return
        except ValueError:
            pass
        expected = f"a whole number of at least {LEAST_BYTES}, for a record holds many rows"
        reader.report(f"kafkaParam.topic.{_LARGEST}", f"topic.{_LARGEST} is {configs[_LARGEST]!r}; expected {expected}")
