"""What a cluster is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsql_runtime.kafka.client_errors import explained
from mlsql_runtime.kafka.descriptions import Broker, ClusterDescription
from mlsql_runtime.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from kafka import KafkaAdminClient


def describe_cluster(admin: KafkaAdminClient, settings: KafkaSettings) -> ClusterDescription:
    """Brokers, controller, version and features. Everybody who may connect may ask."""
    with explained(settings, "describe the cluster"):
        raw = admin.describe_cluster()
        brokers = sorted(raw["brokers"], key=lambda broker: broker["broker_id"])
        version = admin.get_broker_version_data(brokers[0]["broker_id"]).broker_version_str
        features = admin.describe_features()
    return ClusterDescription(
        cluster_id=raw["cluster_id"],
        controller=raw["controller_id"],
        brokers=tuple(Broker(each["broker_id"], each["host"], each["port"], each["rack"]) for each in brokers),
        version=version,
        features={name: each["finalized"][1] for name, each in sorted(features.items()) if "finalized" in each},
    )
