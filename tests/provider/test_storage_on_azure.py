"""Connections to Azure's emulator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_mlsql.hooks.storage import read_storage
from mlsql_runtime.errors import InputError, StorageError
from mlsql_runtime.storage.access_check import check_access
from mlsql_runtime.storage.location import Location


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a connection."""

    def add(name: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))

    return add


def write(uri: str, conn_id: str) -> Location:
    """Write a file after a check, and return it."""
    access = read_storage(conn_id).access
    check_access([uri], access)
    place = Location.of(uri, access)
    place.replace(b"1")
    assert place.read() == b"1"
    return place


def test_a_container_of_azure(azure_server: str, connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    text = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    connect("azure", conn_type="wasb", extra={"connection_string": text})
    connect("wrong", conn_type="wasb", extra={"connection_string": text.replace("AccountKey=", "AccountKey=AAAA")})
    place = write(f"{azure_server}/connections/x", "azure")
    assert (place.parent / "x").read() == b"1"
    with pytest.raises(InputError, match=r"^connection azure finds no abfs://nowhere; create it, or correct the URI$"):
        check_access(["abfs://nowhere/x"], read_storage("azure").access)
    wrong = read_storage("wrong").access
    with pytest.raises(InputError, match=rf"^connection wrong is refused by {azure_server}: Server failed to authenticate"):
        check_access([f"{azure_server}/x"], wrong)
    with pytest.raises(StorageError, match=r"cannot be read with connection wrong: .*; correct the key of the connection"):
        Location.of(f"{azure_server}/x", wrong).read()
