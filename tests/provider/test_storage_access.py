"""Storage that is opened with connections: an S3 server that checks keys and permissions, and endpoints that do not respond."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from support.secured_s3 import SecuredS3, secured_s3
from support.stores import publish

from airflow_provider_mlsql.hooks.storage import read_storage
from airflow_provider_mlsql.pages.lookup import look_up
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor
from airflow_provider_mlsql.triggers.model import MLSQLModelTrigger
from airflow_provider_mlsql.triggers.polling import open_poller
from airflow_provider_mlsql.xcom_versions import ModelVersion
from mlsql_runtime.errors import InputError, MLSQLError, StorageError
from mlsql_runtime.storage import access_check
from mlsql_runtime.storage.access_check import check_access
from mlsql_runtime.storage.location import Location

ROOT = "s3://models/m"


@pytest.fixture(scope="module")
def s3() -> Iterator[SecuredS3]:
    with secured_s3() as server:
        yield server


@pytest.fixture(autouse=True)
def connect(s3: SecuredS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make connections; ``store`` may do everything. The environment has no keys."""

    def add(name: str, **changes: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", s3.connection(**changes))

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    add("store")
    clients = fsspec.get_filesystem_class("s3")
    clients.clear_instance_cache()  # those of other tests have keys of the environment
    yield add
    clients.clear_instance_cache()


def check(uri: str, conn_id: str = "store") -> None:
    check_access([uri], read_storage(conn_id).access)


def test_a_key_that_may_do_everything(s3: SecuredS3) -> None:
    check(ROOT)
    place = Location.of(f"{ROOT}/x", read_storage("store").access)
    place.create(b"1")
    assert place.read() == b"1"
    place.remove()


def test_a_wrong_key_names_connection_and_bucket(s3: SecuredS3, connect: Any) -> None:
    connect("unknown", login="AKIANOBODY")
    connect("wrong", password="hush")
    for conn_id, code in (("unknown", "Access Key Id"), ("wrong", "signature")):
        with pytest.raises(InputError) as caught:
            check(ROOT, conn_id)
        message = caught.value.message
        assert message.startswith(f"connection {conn_id} is refused by s3://models at {s3.endpoint}: ")
        assert code.lower() in message.lower()
        assert message.endswith("correct the key of the connection, or give it the permission")
        assert "hush" not in message
        assert caught.value.facts == {"conn_id": conn_id, "bucket": "s3://models"}


def test_a_bucket_that_is_not_there(s3: SecuredS3) -> None:
    with pytest.raises(InputError, match=rf"^connection store finds no s3://nowhere at {s3.endpoint}; create it, or correct"):
        check("s3://nowhere/m")


def test_a_key_without_permission(s3: SecuredS3, connect: Any) -> None:
    for name, actions in (("blind", ["PutObject"]), ("reader", ["ListBucket", "GetObject"])):
        key, secret = s3.add_user(name, *actions)
        connect(name, login=key, password=secret)
    with pytest.raises(InputError, match="connection blind is refused by s3://models"):
        check(ROOT, "blind")
    check(ROOT, "reader")
    place = Location.of(f"{ROOT}/x", read_storage("reader").access)
    with pytest.raises(StorageError, match=r"^s3://models/m/x cannot be written with connection reader: .*; correct the key"):
        place.write(b"1")


def test_an_endpoint_that_does_not_respond(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_check, "SECONDS", 2.0)
    with socket.socket() as silent, socket.socket() as closed:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        closed.bind(("127.0.0.1", 0))
        for name, listener in (("silent", silent), ("closed", closed)):
            endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
            connect(name, extra={"endpoint_url": endpoint})
            with pytest.raises(StorageError, match=f"^connection {name} does not reach s3://models at {endpoint}: ") as caught:
                check(ROOT, name)
            assert "endpoint" in caught.value.message


def test_sensor_and_trigger_take_the_connection(connect: Any) -> None:
    publish(Location.of(ROOT, read_storage("store").access))
    connect("wrong", password="hush")
    sensor = MLSQLModelSensor(task_id="wait", model_path=ROOT, storage_conn_id="store")
    assert sensor.poke({}).xcom_value["version"] == 1  # type: ignore[typeddict-item]
    event = asyncio.run(fire(MLSQLModelTrigger(model_path=ROOT, storage_conn_id={"s3://models": "store"}, poke_interval=0.1)))
    assert event["result"]["version"] == 1
    event = asyncio.run(fire(MLSQLModelTrigger(model_path=ROOT, storage_conn_id="wrong", poke_interval=0.1)))
    assert event["status"] == "failed"
    assert "connection wrong is refused by s3://models" in json.dumps(event)
    with pytest.raises(InputError, match="connection wrong is refused by s3://models"):
        MLSQLModelSensor(task_id="wait", model_path=ROOT, storage_conn_id="wrong").poke({})  # type: ignore[typeddict-item]
    with pytest.raises(InputError, match="the model path is gs://b/m, and storage_conn_id names connection store"):
        MLSQLModelSensor(task_id="wait", model_path="gs://b/m", storage_conn_id="store").poke({})  # type: ignore[typeddict-item]


async def fire(trigger: MLSQLModelTrigger) -> dict[str, Any]:
    async for event in trigger.run():
        return dict(event.payload)
    raise AssertionError("the trigger ended without an event")


def test_triggers_with_different_connections_do_not_share_a_look(s3: SecuredS3, connect: Any) -> None:
    key, secret = s3.add_user("other", "ListBucket", "GetObject")
    connect("other", login=key, password=secret)

    async def open_three() -> list[bool]:
        async with open_poller(ROOT, "store") as first, open_poller(ROOT, "other") as second, open_poller(ROOT, "store") as third:
            keys = [poller._watch.root.fs.key for poller in (first, second)]
            assert keys == [s3.key, key]
            return [first is second, first is third]

    assert asyncio.run(open_three()) == [False, True]


def test_the_arguments_of_a_trigger_hold_no_secret(s3: SecuredS3) -> None:
    trigger = MLSQLModelTrigger(model_path=ROOT, storage_conn_id="store")
    assert trigger.serialize()[1]["storage_conn_id"] == "store"
    assert s3.secret not in str(trigger.serialize())


def test_pages_take_the_connection_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    root = "s3://models/shown"
    publish(Location.of(root, read_storage("store").access))
    assert look_up(ModelVersion(root, 1)).status == 500  # the environment has no keys
    monkeypatch.setenv("AIRFLOW__MLSQL__STORAGE_CONN_ID", '{"s3://models": "store"}')
    view = look_up(ModelVersion(root, 1)).view
    assert view is not None
    assert view.version == 1
    monkeypatch.setenv("AIRFLOW__MLSQL__STORAGE_CONN_ID", "gone")
    assert "there is no connection 'gone'" in str(look_up(ModelVersion(root, 1)).problem)


def test_a_connection_that_is_gone_ends_the_wait() -> None:
    event = asyncio.run(fire(MLSQLModelTrigger(model_path=ROOT, storage_conn_id="gone")))
    assert "there is no connection 'gone'" in json.dumps(event)
    with pytest.raises(MLSQLError, match="there is no connection 'gone'"):
        check(ROOT, "gone")
