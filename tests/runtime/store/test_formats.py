"""Documents as earlier versions of this software wrote them, in ``format_1``: they stay readable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError
from mlsql_runtime.store.manifest import FORMAT_VERSION, FailureRecord, FunctionRecord, Manifest, Refusals, load

KEPT = Path(__file__).parent / "format_1"


def test_a_manifest_of_format_1() -> None:
    manifest = load(Manifest, (KEPT / "manifest.json").read_bytes(), "manifest.json")
    assert (manifest.format_version, manifest.best.score, manifest.data.feature_width) == (FORMAT_VERSION, 1.0, 692)
    assert manifest.fits[0].params == {"batchSize": "1000", "labelSize": "2"}
    assert manifest.fits[0].packages == {}
    assert load(Manifest, codec.dumps(manifest).encode(), "again") == manifest


def test_a_failure_record_of_format_1() -> None:
    record = load(FailureRecord, (KEPT / "failure.json").read_bytes(), "failure.json")
    assert (record.message, record.fits[0].packages) == ("1 of 1 fit groups failed", {})


def test_a_function_record_of_format_1() -> None:
    record = load(FunctionRecord, (KEPT / "function.json").read_bytes(), "function.json")
    assert (record.function, record.contract, record.packages) == ("jack", "row", {})


def test_refusals_of_format_1() -> None:
    text = b'{"format_version": 1, "function": "jack", "refusals": []}'
    assert load(Refusals, text, "refusals.json") == Refusals(format_version=FORMAT_VERSION, function="jack", refusals=())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format_version": 3}, f"format_version is 3, this version of mlsql_runtime reads {FORMAT_VERSION}"),
        ({"format_version": True}, "format_version is True"),
        ({"fits": [7]}, "fits[0]: expected an object"),
        ({"fits": 7}, "fits: expected a list"),
        ({"fits": [{}]}, "fits[0]: FitRecord lacks the field 'alg_index'"),
        ({"rows": 7}, "Manifest has no field 'rows'"),
    ],
)
def test_damage_is_named_in_old_documents_too(change: dict[str, object], told: str) -> None:
    document = json.loads((KEPT / "manifest.json").read_text()) | change
    with pytest.raises(FormatError) as caught:
        load(Manifest, json.dumps(document).encode(), "manifest.json")
    assert told in caught.value.message
