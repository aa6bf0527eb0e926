"""Create a Kafka topic and a consumer group, describe both, and remove them again, even if a task in between fails.

It needs a connection of type ``mlsql_kafka``; ``make kafka`` runs a broker to try it on, and prints a connection to it.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_mlsql.hooks.kafka import KafkaHook
from mlsql_runtime.codec import encode

with DAG(
    "mlsql_kafka_admin",
    description="Kafka topics and consumer groups with the KafkaHook",
    schedule=None,
    catchup=False,
    tags=["mlsql", "kafka", "example"],
    doc_md=__doc__,
    params={
        "kafka_conn_id": Param(
            "mlsql_kafka_default",
            type="string",
            title="Connection",
            description="Id of the connection to the Kafka brokers.",
            section="Kafka",
        ),
        "topic": Param(
            "mlsql-example",
            type="string",
            pattern="^[A-Za-z0-9._-]{1,249}$",
            title="Topic",
            description="The DAG creates it, and removes it at the end.",
            section="Kafka",
        ),
        "partitions": Param(
            3,
            type="integer",
            allOf=[{"minimum": 1}],
            title="Partitions",
            description="A topic that exists already must have this number.",
            section="Kafka",
        ),
        "retention_hours": Param(
            24,
            type="number",
            exclusiveMinimum=0,
            title="Retention in hours",
            description="Older records may be deleted by the brokers.",
            section="Kafka",
        ),
        "group": Param(
            "mlsql-example-readers",
            type="string",
            title="Consumer group",
            description="The DAG sets it to the beginning of the topic, and removes it at the end.",
            section="Kafka",
        ),
    },
):

    @task
    def prepare(params: dict[str, Any]) -> dict[str, Any]:
        """Create the topic unless it exists with these settings, and set the group to its beginning."""
        retention = {"retention.ms": str(int(params["retention_hours"] * 3_600_000))}
        with KafkaHook(params["kafka_conn_id"]) as kafka:
            created = kafka.create_topic(params["topic"], partitions=params["partitions"], configs=retention, exist_ok=True)
            moved = kafka.reset_offsets(params["group"], "earliest", topics=params["topic"])
        return {"created": created, "offsets": encode(moved)}

    @task
    def inspect(params: dict[str, Any]) -> dict[str, Any]:
        """Return the topic's partitions with leaders and offsets, and the configs that were set."""
        found = KafkaHook(params["kafka_conn_id"]).describe_topic(params["topic"])
        return {"records": found.records, "changed": found.changed, "partitions": encode(found.partitions)}

    @task
    def show_lag(params: dict[str, Any]) -> dict[str, Any]:
        """Return the lag of the group."""
        lag = KafkaHook(params["kafka_conn_id"]).group_lag(params["group"])
        return encode(lag) | {"total": lag.total}

    @task
    def remove(params: dict[str, Any]) -> dict[str, Any]:
        """Remove the group and the topic."""
        with KafkaHook(params["kafka_conn_id"]) as kafka:
            return {
                "groups": encode(kafka.delete_groups(params["group"])),
                "topics": encode(kafka.delete_topics(params["topic"])),
            }

    prepared = prepare()
    prepared >> inspect() >> show_lag() >> remove().as_teardown(setups=prepared)
