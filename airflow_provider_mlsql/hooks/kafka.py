"""Kafka from Airflow: topics, consumer groups and the cluster, by a connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from functools import cached_property, wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_mlsql.compat import mask_secret
from mlsql_runtime.errors import InputError, MLSQLError
from mlsql_runtime.kafka import descriptions, groups, topics
from mlsql_runtime.kafka.clients import CONNECT_SECONDS, Admin, open_admin
from mlsql_runtime.kafka.settings import KafkaSettings, merge_options, parse_settings
from mlsql_runtime.plan.parsers import is_nothing

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from kafka import KafkaAdminClient

TEST_SECONDS = 4.0  # to connect, and as long again for the answer: less than ten seconds in all
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _as_method(function: Callable[Concatenate[Admin, Arguments], Result]) -> Callable[Concatenate[KafkaHook, Arguments], Result]:
    """Return ``function`` as a method that passes the hook's admin client."""

    @wraps(function)
    def method(self: KafkaHook, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with nullcontext(self._shared) if self._shared else open_admin(self.settings, self.connect_seconds) as admin:
            return function(admin, *args, **kwargs)

    return method


class KafkaHook(BaseHook):
    """Create, describe, change and delete topics and consumer groups on the brokers of a connection.

    Each call opens a client and closes it; calls inside ``with hook:`` share one. Every error is an
    :class:`~mlsql_runtime.errors.MLSQLError` that names the brokers, and the topic or group:
    ``KafkaUnavailable`` when a retry may help, ``InputError`` or its subclass ``KafkaRefused`` when it cannot.
    Calls block. In a trigger, make them in a thread (``asyncio.to_thread``).

    :param kafka_conn_id: a connection of type ``mlsql_kafka``, or of the official provider's type ``kafka``; None when
        ``config`` has all settings.
    :param config: settings in any notation, which replace those of the connection; None removes a setting.
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
        self.kafka_conn_id = None if is_nothing(kafka_conn_id) else kafka_conn_id
        self.config = dict(config or {})
        self.connect_seconds = connect_seconds
        self._shared: Admin | None = None
        self._stack = ExitStack()

    @cached_property
    def settings(self) -> KafkaSettings:
        """The connection's settings, checked, with their secrets masked in logs.

        :raises InputError: for settings that cannot be used.
        """
        source = f"connection {self.kafka_conn_id}" if self.kafka_conn_id else "the Kafka configuration"
        given = self._read_connection(self.kafka_conn_id, source) if self.kafka_conn_id else {}
        _mask_secrets(given | self.config)
        settings = parse_settings(merge_options(given, self.config), source)
        _mask_secrets(settings.private)
        if settings.ignored:
            self.log.info("%s: ignoring settings that have no effect here: %s", source, ", ".join(settings.ignored))
        return settings

    def _read_connection(self, conn_id: str, source: str) -> dict[str, Any]:
        try:
            return _to_options(self.get_connection(conn_id), source)
        except AirflowNotFoundException as error:
            raise InputError(
                f"there is no connection '{conn_id}'; add it: airflow connections add {conn_id} "
                f"--conn-type {self.conn_type} --conn-host broker:9092",
                conn_id=conn_id,
            ) from error

    def get_conn(self) -> KafkaAdminClient:
        """Return kafka-python's admin client, which later calls share until :meth:`close`."""
        if self._shared is None:
            self._shared = self._stack.enter_context(open_admin(self.settings, self.connect_seconds))
        return self._shared.client

    def close(self) -> None:
        """Close the shared client, if there is one."""
        self._shared = None
        self._stack.close()

    def __enter__(self) -> KafkaHook:
        self.get_conn()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def test_connection(self) -> tuple[bool, str]:
        """Return whether brokers answer within 10 s, and a description of the cluster or the reason why not."""
        try:
            with open_admin(self.settings, min(self.connect_seconds, TEST_SECONDS)) as admin:
                found = descriptions.describe_cluster(admin)
        except MLSQLError as error:
            return False, error.message
        brokers = ", ".join(f"{each.host}:{each.port}" for each in found.brokers)
        return True, f"cluster {found.cluster_id}, Kafka {found.version}, brokers {brokers}"

    create_topic = _as_method(topics.create_topic)
    delete_topics = _as_method(topics.delete_topics)
    list_topics = _as_method(topics.list_topics)
    describe_topic = _as_method(topics.describe_topic)
    alter_configs = _as_method(topics.alter_configs)
    reset_configs = _as_method(topics.reset_configs)
    add_partitions = _as_method(topics.add_partitions)
    wait_for_topic = _as_method(topics.wait_for_topic)
    list_groups = _as_method(groups.list_groups)
    describe_group = _as_method(groups.describe_group)
    committed_offsets = _as_method(groups.committed_offsets)
    group_lag = _as_method(groups.group_lag)
    reset_offsets = _as_method(groups.reset_offsets)
    delete_offsets = _as_method(groups.delete_offsets)
    delete_groups = _as_method(groups.delete_groups)
    describe_cluster = _as_method(descriptions.describe_cluster)


def _to_options(connection: Connection, source: str) -> dict[str, Any]:
    """Return the connection's fields as options; those of its extra take precedence."""
    try:
        extra = json.loads(connection.extra or "{}")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: its extra is not JSON: {error}") from None
    if not isinstance(extra, dict):
        raise InputError(f'{source}: its extra is not a JSON object; expected one such as {{"security.protocol": "SASL_SSL"}}')
    servers = [server.strip() for server in (connection.host or "").split(",") if server.strip()]
    if connection.port:
        servers = [server if server.rpartition(":")[2].isdigit() else f"{server}:{connection.port}" for server in servers]
    fields = {
        "bootstrap_servers": ",".join(servers),
        "sasl_plain_username": connection.login,
        "sasl_plain_password": connection.password,
    }
    return merge_options(fields, {name: value for name, value in extra.items() if value not in (None, "")})


def _mask_secrets(options: Mapping[str, Any]) -> None:
    """Mask passwords and keys in logs. A log shows a key line by line, so each of its lines is masked."""
    for name, value in options.items():
        if not isinstance(value, str):
            continue
        if "PRIVATE KEY" in value:
            mask_secret(value)
            for line in value.splitlines():
                if len(line) > 20 and "PRIVATE KEY" not in line:
                    mask_secret(line)
        elif "password" in name.lower() or "proxy" in name.lower():
            mask_secret(value)
