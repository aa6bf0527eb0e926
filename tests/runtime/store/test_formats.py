"""Documents of the store are read strictly: another format version, and whatever is damaged, is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError
from mlsql_runtime.store.format_version import FORMAT_VERSION
from mlsql_runtime.store.manifest import FitRecord, Manifest, load


@pytest.fixture
def document(manifest_of: Callable[..., Manifest], fit_record: Callable[..., FitRecord]) -> dict[str, Any]:
    manifest: dict[str, Any] = codec.encode(manifest_of(1, [fit_record(0, 0.5)]))
    return manifest


def test_a_document_is_read_as_it_was_written(document: dict[str, Any]) -> None:
    manifest = load(Manifest, json.dumps(document).encode(), "manifest.json")
    assert (manifest.format_version, codec.encode(manifest)) == (FORMAT_VERSION, document)


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"format_version": 2}, f"format_version is 2, this version of mlsql_runtime reads {FORMAT_VERSION}"),
        ({"format_version": True}, "format_version is True"),
        ({"fits": [7]}, "fits[0]: expected an object"),
        ({"fits": 7}, "fits: expected a list"),
        ({"fits": [{}]}, "fits[0]: FitRecord lacks the field 'alg_index'"),
        ({"rows": 7}, "Manifest has no field 'rows'"),
        ({"files": [{"path": "../x", "size": 1, "sha256": ""}]}, "files[0]: an entry of a file has the path '../x'"),
        ({"files": [{"path": "/etc/passwd", "size": 1, "sha256": ""}]}, "which is not one below its folder"),
        ({"sources": [{"table": "t", "kind": "topic", "offsets": {"0": [1]}}]}, "sources[0]"),
    ],
)
def test_damage_is_named(document: dict[str, Any], change: dict[str, object], fragment: str) -> None:
    with pytest.raises(FormatError) as caught:
        load(Manifest, json.dumps(document | change).encode(), "manifest.json")
    assert fragment in caught.value.message
