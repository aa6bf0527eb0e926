"""Secrets of a job, which its plan does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlsql_runtime.plan.storage_access import NO_ACCESS, StorageAccess
from mlsql_runtime.plan.tracking import NO_TRACKING, TrackingAccess


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Spark properties that look secret, Kafka settings by the name that a :class:`KafkaFeed` gives them, and access to storage
    and to an MLflow tracking server.

    Goes from hook to application in a file of mode 0600.
    """

    spark: Mapping[str, str] = field(default_factory=dict, repr=False)
    kafka: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    storage: StorageAccess = NO_ACCESS
    tracking: TrackingAccess = NO_TRACKING


NO_SECRETS = Secrets()
