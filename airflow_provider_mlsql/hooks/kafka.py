"""Kafka from Airflow: topics, consumer groups and the cluster, by a connection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from mlsql_runtime.errors import InputError, MLSQLError
from mlsql_runtime.kafka import cluster, group_offsets, groups, topic_changes, topics
from mlsql_runtime.kafka.clients import CONNECT_SECONDS, open_admin
from mlsql_runtime.kafka.descriptions import (
    ClusterDescription,
    CommittedOffset,
    Group,
    GroupDescription,
    GroupLag,
    OffsetChange,
    TopicDescription,
)
from mlsql_runtime.kafka.settings import KafkaSettings, layered, parse_settings

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from kafka import KafkaAdminClient

TEST_SECONDS = 4.0  # to connect, and as long again to be answered: within ten seconds in all


class KafkaHook(BaseHook):
    """Prepares, inspects and removes topics and consumer groups on the brokers of a connection.

    Each call opens a client and closes it; calls inside ``with hook:`` share one. Every error is an
    :class:`~mlsql_runtime.errors.MLSQLError` that names the broker, and the topic or group:
    ``KafkaUnavailable`` when trying again may help, ``InputError`` or its kind ``KafkaRefused`` when it cannot.
    Calls block: on a triggerer's event loop make them in a thread (``asyncio.to_thread``).

    :param kafka_conn_id: a connection of type ``mlsql_kafka``, or one of the official provider's (``kafka``); None when
        ``config`` says it all.
    :param config: settings in any notation, which replace those of the connection; None takes a setting away.
    :param connect_seconds: how long to wait for a broker, and then for each of its answers.
    """

    conn_name_attr = "kafka_conn_id"
    default_conn_name = "mlsql_kafka_default"
    conn_type = "mlsql_kafka"
    hook_name = "MLSQL Kafka"

    def __init__(
        self,
        kafka_conn_id: str | None = default_conn_name,
        config: Mapping[str, Any] | None = None,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        super().__init__()
        self.kafka_conn_id = kafka_conn_id
        self.config = dict(config or {})
        self.connect_seconds = connect_seconds
        self._kept: KafkaAdminClient | None = None
        self._stack = ExitStack()

    @cached_property
    def settings(self) -> KafkaSettings:
        """The connection's settings, checked, with their secrets masked in logs.

        :raises InputError: for settings that cannot be used.
        """
        what = f"connection {self.kafka_conn_id}" if self.kafka_conn_id else "the Kafka configuration"
        given = self._connection_settings(self.kafka_conn_id, what) if self.kafka_conn_id else {}
        for secret in _secrets(given | self.config):
            mask_secret(secret)
        settings = parse_settings(layered(given, self.config), what)
        for secret in _secrets(settings.private):
            mask_secret(secret)
        if settings.ignored:
            self.log.info("%s: without use here are %s", what, ", ".join(settings.ignored))
        return settings

    def _connection_settings(self, conn_id: str, what: str) -> dict[str, Any]:
        try:
            return _of_connection(self.get_connection(conn_id), what)
        except AirflowNotFoundException as error:
            raise InputError(
                f"there is no connection '{conn_id}'; add it: airflow connections add {conn_id} "
                f"--conn-type {self.conn_type} --conn-host broker:9092",
                conn_id=conn_id,
            ) from error

    def get_conn(self) -> KafkaAdminClient:
        """This hook's admin client, which later calls share until :meth:`close`."""
        if self._kept is None:
            self._kept = self._stack.enter_context(open_admin(self.settings, self.connect_seconds))
        return self._kept

    def close(self) -> None:
        """Close the shared client, if there is one."""
        self._kept = None
        self._stack.close()

    def __enter__(self) -> KafkaHook:
        self.get_conn()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def test_connection(self) -> tuple[bool, str]:
        """Whether brokers answer, and who they are or why not; within 10 s."""
        try:
            with open_admin(self.settings, min(self.connect_seconds, TEST_SECONDS)) as admin:
                found = cluster.describe_cluster(admin, self.settings)
        except MLSQLError as error:
            return False, error.message
        brokers = ", ".join(f"{each.host}:{each.port}" for each in found.brokers)
        return True, f"cluster {found.cluster_id}, Kafka {found.version}, brokers {brokers}"

    def create_topic(
        self,
        name: str,
        *,
        partitions: int = -1,
        replication_factor: int = -1,
        configs: Mapping[str, str] | None = None,
        exist_ok: bool = False,
        validate_only: bool = False,
    ) -> bool:
        """Create a topic and wait for its leaders; True when it was created.

        :param partitions: how many; -1 takes the broker's default, and so does it for ``replication_factor``.
        :param configs: by their Kafka names, such as ``{"retention.ms": "3600000"}``.
        :param exist_ok: a topic that is there and as asked is no error; one that differs is, naming every difference.
        :param validate_only: have the broker check what is asked, and create nothing.
        """
        wanted: dict[str, Any] = {"partitions": partitions, "replication_factor": replication_factor, "configs": configs or {}}
        with self._admin() as admin:
            if exist_ok:
                return topic_changes.ensure_topic(admin, self.settings, name, validate_only=validate_only, **wanted)
            topics.create_topic(admin, self.settings, name, validate_only=validate_only, **wanted)
            return not validate_only

    def delete_topics(self, names: str | Iterable[str]) -> tuple[str, ...]:
        """Delete these topics; answers which there were."""
        with self._admin() as admin:
            return topics.delete_topics(admin, self.settings, names)

    def list_topics(self, prefix: str = "") -> tuple[str, ...]:
        """Names of the topics that begin with ``prefix``."""
        with self._admin() as admin:
            return topics.topics_with_prefix(admin, self.settings, prefix)

    def describe_topic(self, name: str) -> TopicDescription:
        """Partitions with leaders, replicas and offsets; all configs, and which of them were set."""
        with self._admin() as admin:
            return topics.describe_topic(admin, self.settings, name)

    def alter_configs(self, name: str, configs: Mapping[str, str], *, validate_only: bool = False) -> None:
        """Set these configs of a topic."""
        with self._admin() as admin:
            topic_changes.alter_configs(admin, self.settings, name, configs, validate_only=validate_only)

    def reset_configs(self, name: str, keys: str | Iterable[str] = ()) -> tuple[str, ...]:
        """Take back these configs of a topic, or all that were set; answers which those were."""
        with self._admin() as admin:
            return topic_changes.reset_configs(admin, self.settings, name, keys)

    def add_partitions(self, name: str, total: int, *, validate_only: bool = False) -> None:
        """Give a topic more partitions: ``total`` in all."""
        with self._admin() as admin:
            topic_changes.add_partitions(admin, self.settings, name, total, validate_only=validate_only)

    def wait_for_topic(self, name: str, *, records: int = 0, seconds: float = 60.0) -> int:
        """Wait until a topic is there, with leaders, and so many records; answers how many."""
        with self._admin() as admin:
            return topics.wait_for_topic(admin, self.settings, name, records=records, seconds=seconds)

    def list_groups(self) -> tuple[Group, ...]:
        """Consumer groups and their states."""
        with self._admin() as admin:
            return groups.list_groups(admin, self.settings)

    def describe_group(self, group: str) -> GroupDescription:
        """A group's state, coordinator and members with what they read."""
        with self._admin() as admin:
            return groups.describe_group(admin, self.settings, group)

    def committed_offsets(self, group: str) -> tuple[CommittedOffset, ...]:
        """What a group reads next."""
        with self._admin() as admin:
            return groups.committed_offsets(admin, self.settings, group)

    def group_lag(self, group: str) -> GroupLag:
        """How far a group is behind, in each partition and in total."""
        with self._admin() as admin:
            return groups.group_lag(admin, self.settings, group)

    def reset_offsets(
        self, group: str, to: group_offsets.Target, *, topics: str | Iterable[str] | None = None, dry_run: bool = False
    ) -> tuple[OffsetChange, ...]:
        """Move a group without members; arguments as in :func:`mlsql_runtime.kafka.group_offsets.reset_offsets`."""
        with self._admin() as admin:
            return group_offsets.reset_offsets(admin, self.settings, group, to, topics=topics, dry_run=dry_run)

    def delete_offsets(self, group: str, partitions: str | Iterable[str | tuple[str, int]]) -> tuple[tuple[str, int], ...]:
        """Forget what a group has committed, for topics or (topic, partition); answers the partitions."""
        with self._admin() as admin:
            return group_offsets.delete_offsets(admin, self.settings, group, partitions)

    def delete_groups(self, names: str | Iterable[str]) -> tuple[str, ...]:
        """Delete these groups; answers which there were."""
        with self._admin() as admin:
            return groups.delete_groups(admin, self.settings, names)

    def describe_cluster(self) -> ClusterDescription:
        """Brokers, controller, version and features."""
        with self._admin() as admin:
            return cluster.describe_cluster(admin, self.settings)

    @contextmanager
    def _admin(self) -> Iterator[KafkaAdminClient]:
        if self._kept is not None:
            yield self._kept
            return
        with open_admin(self.settings, self.connect_seconds) as admin:
            yield admin


def _of_connection(connection: Connection, what: str) -> dict[str, Any]:
    """The connection's fields as settings; what its extra says goes before them."""
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError as error:
        raise InputError(f"{what}: its extra is no JSON: {error}") from None
    if not isinstance(extra, dict):
        raise InputError(f'{what}: its extra is no JSON object; expected one such as {{"security.protocol": "SASL_SSL"}}')
    servers = [server.strip() for server in (connection.host or "").split(",") if server.strip()]
    if connection.port:
        servers = [server if server.rpartition(":")[2].isdigit() else f"{server}:{connection.port}" for server in servers]
    fields = {
        "bootstrap_servers": ",".join(servers),
        "sasl_plain_username": connection.login,
        "sasl_plain_password": connection.password,
    }
    return layered(fields, {name: value for name, value in extra.items() if value not in (None, "")})


def _secrets(given: Mapping[str, Any]) -> Iterator[str]:
    """Texts that no log may show. A log shows a key line by line."""
    for name, value in given.items():
        if not isinstance(value, str):
            continue
        if "PRIVATE KEY" in value:
            yield value
            yield from (line for line in value.splitlines() if len(line) > 20 and "PRIVATE KEY" not in line)
        elif "password" in name.lower() or "proxy" in name.lower():
            yield value
