"""MLSQL's ``kafkaParam`` options as a :class:`KafkaFeed`; operators and language both come here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsql_runtime.errors import InputError
from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.plan import KafkaFeed, format_option

_OWN = ("topic", "group_id", "reuse", "keep")
_TOPIC = "topic."
_LARGEST = "topic.max.message.bytes"
LEAST_BYTES = 64 << 10
SECRETS = "kafka"  # the name by which a plan means what is in its secrets
_PARTITIONS, _REPLICATION = "topic.partitions", "topic.replication.factor"


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what concerns the feed, settings of the client): ``topic``, ``group_id``, ``reuse``, ``keep`` and ``topic.…`` are ours."""
    own = {key: value for key, value in options.items() if key in _OWN or key.startswith(_TOPIC)}
    return own, {key: value for key, value in options.items() if key not in own}


def kafka_feed(own: Mapping[str, Any], settings: KafkaSettings, secrets: str) -> KafkaFeed:
    """The feed. Passwords and certificates of ``settings`` are left out; they are to be found under the name ``secrets``.

    :raises InputError: without a topic, for a wrong number, or settings of a topic that is only read.
    """
    if not own.get("topic"):
        raise InputError("no topic is given (kafka_topic, kafkaParam.topic); the run's own topic is named after it")
    reuse = _boolean(own, "reuse")
    configs = {key: value for key, value in own.items() if key.startswith(_TOPIC) and value is not None}
    largest = _number(configs, _LARGEST)
    if largest is not None and largest < LEAST_BYTES:
        raise InputError(f"{_LARGEST} is {largest}; expected at least {LEAST_BYTES}, for a record holds many rows")
    if reuse and configs:
        raise InputError(f"topic '{own['topic']}' is reused as it is, so {', '.join(configs)} cannot be set; leave them out")
    return KafkaFeed(
        topic=str(own["topic"]),
        settings=settings.public,
        secrets=secrets if settings.private else None,
        group=str(own["group_id"]) if own.get("group_id") else None,
        reuse=reuse,
        keep=_boolean(own, "keep"),
        partitions=_number(configs, _PARTITIONS),
        replication_factor=_number(configs, _REPLICATION),
        topic_configs={
            key[len(_TOPIC) :]: format_option(value) for key, value in configs.items() if key not in (_PARTITIONS, _REPLICATION)
        },
    )


def _boolean(options: Mapping[str, Any], name: str) -> bool:
    word = str(options.get(name) or "false").strip().lower()
    if word not in ("true", "false"):
        raise InputError(f"kafkaParam.{name} is {options[name]!r}; expected true or false")
    return word == "true"


def _number(options: Mapping[str, Any], name: str) -> int | None:
    if name not in options:
        return None
    try:
        return int(str(options[name]))
    except ValueError:
        raise InputError(f"{name} is {options[name]!r}; expected a whole number") from None
