"""A model path on each storage."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from hadoop import Hdfs

KINDS = ("local", "hdfs", "webhdfs", "s3", "azure", "google")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def root(kind: str, hdfs: Hdfs, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Location]:
    """A model path that does not exist yet."""
    bases = {"local": str(tmp_path), "hdfs": hdfs.uri, "webhdfs": hdfs.web_uri}
    base = bases.get(kind) or request.getfixturevalue(f"{kind}_server")
    place = Location.of(f"{base}/{uuid.uuid4().hex}/digits")
    yield place
    place.parent.remove()
