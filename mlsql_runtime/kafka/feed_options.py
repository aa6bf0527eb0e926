"""A feed through Kafka, from its options and the settings of a client; the language and the operators both come here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsql_runtime.kafka.settings import KafkaSettings
from mlsql_runtime.plan import KafkaFeed

SECRETS = "kafka"  # the name of the private settings in the job's secrets


def make_kafka_feed(options: Mapping[str, Any], settings: KafkaSettings, secrets: str) -> KafkaFeed:
    """Return the feed without the passwords and certificates of ``settings``, which are in the job's secrets as ``secrets``.

    :param options: the fields of the feed, as :func:`~mlsql_runtime.plan.options.read_options` returns them.
    """
    return KafkaFeed(**{**options, "settings": settings.public, "secrets": secrets if settings.private else None})
