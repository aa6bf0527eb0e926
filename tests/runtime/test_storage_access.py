from __future__ import annotations

import json
import pickle

import pytest

from mlsql_runtime.plan import NO_ACCESS, StorageAccess, StorageConnection, find_family
from mlsql_runtime.storage.location import Location


def make_access(**names: str) -> StorageAccess:
    """Return access by connections with these names, for the prefixes that are their values."""
    connections = (StorageConnection(name=name, prefix=prefix) for name, prefix in names.items())
    return StorageAccess(tuple(connections))


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://b/x", "all"),
        ("S3A://b/x", "all"),
        ("s3://data", "data"),
        ("s3a://data/x", "data"),
        ("s3://data2/x", "all"),
        ("s3://data/old", "old"),
        ("s3://data/old/x", "old"),
        ("s3://data/older", "data"),
        ("abfss://c@a.dfs.core.windows.net/x", "azure"),
        ("gs://b/x", None),
        ("/s3/data", None),
        ("file:///data", None),
    ],
)
def test_the_longest_prefix_decides(uri: str, name: str | None) -> None:
    access = make_access(all="s3://", data="s3://data", old="s3a://data/old", azure="abfs://c@a.dfs.core.windows.net")
    found = access.find(uri)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("uri", "family"),
    [("s3a://b", "s3"), ("gcs://b", "gs"), ("az://c", "abfs"), ("viewfs://x", "hdfs"), ("https://h/x", None), ("s3:", None)],
)
def test_schemes_of_one_storage_are_alike(uri: str, family: str | None) -> None:
    assert find_family(uri) == family


def test_without_a_connection_the_environment_decides() -> None:
    assert NO_ACCESS.find("s3://b/x") is None
    assert NO_ACCESS.find_options("s3://b/x") == {}


def test_a_location_opens_others_with_its_connections(s3_server: str) -> None:
    bucket = s3_server.removeprefix("s3://")
    options = json.dumps({"key": "of-this-bucket", "secret": "hush"})
    access = StorageAccess((StorageConnection(name="minio", prefix=s3_server, options=options),))
    root = Location.of(f"{s3_server}/m", access)
    assert root.fs.storage_options["key"] == "of-this-bucket"
    assert Location.of(f"{s3_server}/m").fs.storage_options.get("key") is None
    assert "hush" not in repr(root)
    for place in (root / "a", root.parent, root.at(f"s3a://{bucket}/other"), pickle.loads(pickle.dumps(root))):
        assert place.fs.storage_options["secret"] == "hush"
        assert place.access == access
    assert "secret" not in root.at("s3://another-bucket/x").fs.storage_options
    (root / "a").write(b"1")
    assert (root / "a").read() == b"1"
