"""The signature of a fit group: that of the version, with the columns that the group's own parameters name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.stores import make_fit_record, make_manifest

from mlsql_runtime.scoring.group_signature import find_signature
from mlsql_runtime.store.signature import Column, Signature

COLUMNS = {"f1": "vector", "f2": "vector", "label": "double", "word": "string"}
F1, F2, LABEL, WORD = (Column(name=name, type=kind) for name, kind in COLUMNS.items())
OWN = Signature(features=(F1,), label=LABEL, classes=(0.0, 1.0))


@pytest.mark.parametrize(
    ("own", "params", "expected"),
    [
        (OWN, {}, OWN),
        (OWN, {"inputCol": "F1", "label": "label"}, OWN),
        (OWN, {"inputCol": "f2"}, replace(OWN, features=(F2,))),
        (OWN, {"label": "word"}, replace(OWN, label=WORD, classes=None)),
        (OWN, {"label": "of a bottle"}, OWN),
        (None, {}, Signature(features=(F1,))),
        (None, {"inputCol": "f2"}, Signature(features=(F2,))),
    ],
)
def test_the_signature_of_a_group(own: Signature | None, params: dict[str, str], expected: Signature) -> None:
    fit = make_fit_record(0, 1.0, params=params)
    manifest = make_manifest(1, [fit])
    data = replace(manifest.data, columns=COLUMNS, feature_column="f1")
    assert find_signature(replace(manifest, data=data, signature=own), fit) == expected
