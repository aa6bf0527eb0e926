"""Connections to a real WebHDFS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from airflow_provider_mlsql.hooks.storage import read_storage
from mlsql_runtime.errors import StorageError
from mlsql_runtime.storage.access_check import check_access
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from hadoop import Hdfs


def test_the_user_of_webhdfs_is_that_of_the_connection(hdfs: Hdfs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HADOOP", json.dumps({"conn_type": "webhdfs", "login": "alice"}))
    place = Location.of(f"{hdfs.web_uri}/of-alice/x")
    place.write(b"")
    place.fs.set_permission(place.parent.path, 0o777)
    access = read_storage("hadoop").access
    hers = Location.of(f"{hdfs.web_uri}/of-alice/hers", access)
    check_access([hers.uri], access)
    hers.create(b"1")
    assert hers.read() == b"1"
    assert Location.of(f"{hdfs.uri}/of-alice/hers").fs.client.get_file_info("/of-alice/hers").owner == "alice"
    place.fs.set_permission(place.parent.path, 0o755)
    with pytest.raises(StorageError, match=r"^webhdfs://.*/hers cannot be written with connection hadoop: Permission denied: "):
        hers.replace(b"2")
    assert hers.parent.list_names() == ["hers", "x"]
    place.parent.remove()
