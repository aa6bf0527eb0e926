"""The hook on a real broker, and its connection as Airflow sees it."""

from __future__ import annotations

import gc
import json
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import Connection
from airflow.sdk._shared.secrets_masker import redact
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime
from broker import PASSWORDS, Broker
from support.brokers import secure_options

from airflow_provider_mlsql.hooks.kafka import TEST_SECONDS, KafkaHook
from mlsql_runtime.codec import encode
from mlsql_runtime.errors import InputError, KafkaUnavailable

Connect = Callable[..., str]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Define a connection from its fields; its id."""

    def define(**fields: Any) -> str:
        name = f"kafka_{uuid.uuid4().hex[:8]}"
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({"conn_type": "mlsql_kafka"} | fields))
        return name

    return define


@pytest.fixture
def hook(connect: Connect, broker: Broker) -> KafkaHook:
    return KafkaHook(connect(host=broker.bootstrap))


def is_masked(secret: str) -> bool:
    """Whether Airflow's logs would show stars instead."""
    return secret not in str(redact(f"a line with {secret} in it"))


def test_topics_and_groups_by_a_connection(hook: KafkaHook) -> None:
    name = f"hook-{uuid.uuid4().hex[:8]}"
    with hook:
        assert hook.create_topic(name, partitions=2, configs={"retention.ms": "60000"})
        assert not hook.create_topic(name, partitions=2, exist_ok=True)
        assert hook.list_topics(name) == (name,)
        hook.alter_configs(name, {"retention.ms": "70000"})
        assert hook.describe_topic(name).changed == {"retention.ms": "70000"}
        assert hook.reset_configs(name) == ("retention.ms",)
        hook.add_partitions(name, 3)
        assert hook.wait_for_topic(name) == 0
        foreseen = hook.reset_offsets(name, "earliest", topics=name, dry_run=True)
        assert hook.reset_offsets(name, "earliest", topics=name) == foreseen
        assert hook.describe_group(name).state == "Empty"
        assert name in [each.group for each in hook.list_groups()]
        assert hook.group_lag(name).total == 0
        assert hook.delete_offsets(name, [(name, 0)]) == ((name, 0),)
        assert [each.partition for each in hook.committed_offsets(name)] == [1, 2]
        assert hook.delete_groups(name) == (name,)
        assert hook.delete_topics(name) == (name,)
    assert len(hook.describe_cluster().brokers) == 1


def test_results_become_plain_json_values(hook: KafkaHook) -> None:
    name = f"hook-{uuid.uuid4().hex[:8]}"
    hook.create_topic(name)
    hook.reset_offsets(name, "latest", topics=name)
    for found in (hook.describe_topic(name), hook.describe_group(name), hook.group_lag(name), hook.describe_cluster()):
        assert json.loads(json.dumps(encode(found))) == encode(found)
    hook.delete_groups(name)
    hook.delete_topics(name)


def test_calls_share_a_client_inside_with_and_leave_none(hook: KafkaHook) -> None:
    before = set(threading.enumerate())
    with hook:
        client = hook.get_conn()
        hook.list_topics()
        assert hook.get_conn() is client
        assert len(set(threading.enumerate()) - before) == 1
    assert set(threading.enumerate()) <= before
    hook.list_topics()
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    ("fields", "config", "servers"),
    [
        ({"host": "b1", "port": 9092}, {}, "b1:9092"),
        ({"host": "b1, b2:9093", "port": 9092}, {}, "b1:9092,b2:9093"),
        ({"host": "b1:9092,b2:9092"}, {}, "b1:9092,b2:9092"),
        ({"conn_type": "kafka", "extra": {"bootstrap.servers": "b1:9092", "group.id": "g"}}, {}, "b1:9092"),
        ({"host": "b1:9092", "extra": {"bootstrap.servers": "b2:9092"}}, {}, "b2:9092"),
        ({"host": "b1:9092", "extra": {"bootstrap.servers": "b2:9092"}}, {"bootstrap_servers": "b3:9092"}, "b3:9092"),
        ({"host": "b1:9092", "extra": {"ssl_cafile": None, "sasl_mechanism": "", "ssl_check_hostname": True}}, {}, "b1:9092"),
    ],
)
def test_servers_from_host_extra_and_config(connect: Connect, fields: Any, config: Any, servers: str) -> None:
    assert KafkaHook(connect(**fields), config).settings.servers == servers


def test_login_and_password_are_the_sasl_user(connect: Connect, broker: Broker) -> None:
    extra = {key: value for key, value in secure_options(broker).items() if key not in ("sasl.username", "sasl.password")}
    hook = KafkaHook(connect(login="admin", password=PASSWORDS["admin"], extra=extra))
    ok, message = hook.test_connection()
    assert ok, message
    assert message.startswith("cluster mlsqlmlsqlmlsqlmlsqlml, Kafka 4.")
    assert is_masked(PASSWORDS["admin"])
    assert PASSWORDS["admin"] not in f"{hook!r} {hook.settings!r} {message}"


def test_keys_are_masked_line_by_line(connect: Connect, tmp_path: Path) -> None:
    line = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg"
    key = tmp_path / "key.pem"
    key.write_text(f"-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----\n")
    extra = {"security.protocol": "SSL", "ssl.key.location": str(key), "ssl_cert_pem": "CERT", "ssl.key.password": "kp-71"}
    assert KafkaHook(connect(host="b1:9092", extra=extra)).settings.values["ssl_key_pem"] == key.read_text()
    assert is_masked(key.read_text())
    assert is_masked(line)
    assert is_masked("kp-71")
    assert not is_masked("CERT")


def test_ignored_settings_are_told_once(connect: Connect, capsys: pytest.CaptureFixture[str]) -> None:
    hook = KafkaHook(connect(host="b1:9092", extra={"group.id": "g", "acks": "all"}))
    assert hook.settings is hook.settings
    assert (
        capsys.readouterr().out.count(
            f"connection {hook.kafka_conn_id}: ignoring settings that have no effect here: group.id, acks"
        )
        == 1
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, r"^connection kafka_\w+ names no broker; set its host"),
        ({"host": "b1"}, r"names the broker 'b1' without a port"),
        (
            {"host": "b1:9092", "login": "me", "password": "pw-83"},
            r"sets sasl_plain_\w+, but security_protocol is PLAINTEXT",
        ),
        ({"host": "b1:9092", "extra": '["a"]'}, r"its extra is not a JSON object; expected one such as"),
        ({"host": "b1:9092", "extra": {"securty.protocol": "SSL"}}, r"'securty.protocol'; did you mean 'security_protocol'"),
    ],
)
def test_a_connection_that_cannot_be_used(connect: Connect, fields: Any, message: str) -> None:
    hook = KafkaHook(connect(**fields))
    with pytest.raises(InputError, match=message) as caught:
        hook.list_topics()
    assert hook.test_connection() == (False, caught.value.message)


@pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")  # kafka-python leaves refused sockets to the collector
def test_testing_a_connection_gives_the_reason_in_time(connect: Connect, broker: Broker) -> None:
    hook = KafkaHook(connect(host="127.0.0.1:9"), connect_seconds=0.5)
    assert 2 * TEST_SECONDS < 10
    ok, message = hook.test_connection()
    assert not ok
    assert message.startswith("connect on 127.0.0.1:9: the connection was refused")
    with pytest.raises(KafkaUnavailable), hook:
        pytest.fail("it connects")
    extra = secure_options(broker) | {"sasl.password": "wrong-31c"}
    ok, message = KafkaHook(connect(extra=extra), connect_seconds=1).test_connection()
    assert not ok
    assert "rejected the password of user 'admin'" in message
    assert "wrong-31c" not in message
    gc.collect()


def test_airflow_finds_the_hook_by_the_connection(connect: Connect, broker: Broker) -> None:
    conn_id = connect(host=broker.bootstrap)
    hook = KafkaHook.get_hook(conn_id)
    assert isinstance(hook, KafkaHook)
    assert hook.kafka_conn_id == conn_id
    assert Connection(conn_id="c", conn_type="mlsql_kafka", host=broker.bootstrap).test_connection()[0]


def test_the_form_of_the_connection() -> None:
    manager = ProvidersManager()
    manager.initialize_providers_hooks()
    hook = ProvidersManagerTaskRuntime().hooks["mlsql_kafka"]
    assert hook is not None
    assert (hook.connection_id_attribute_name, hook.hook_name) == ("kafka_conn_id", "MLSQL Kafka")
    behaviour = manager.field_behaviours["mlsql_kafka"]
    assert behaviour["relabeling"]["host"] == "Bootstrap servers"
    assert behaviour["hidden_fields"] == ["schema"]
    widgets = {
        name.removeprefix("extra__mlsql_kafka__"): widget
        for name, widget in manager.connection_form_widgets.items()
        if name.startswith("extra__mlsql_kafka__")
    }
    assert [name for name, widget in widgets.items() if widget.is_sensitive] == ["ssl_password"]
    assert widgets["security_protocol"].field["schema"]["enum"] == ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    assert widgets["ssl_cafile"].field["schema"]["title"] == "CA certificate"
