"""The signature of a fit group."""

from __future__ import annotations

from dataclasses import replace

from mlsql_runtime.feed.column_names import find_column
from mlsql_runtime.store.manifest import FitRecord, Manifest
from mlsql_runtime.store.signature import Column, Signature


def find_signature(manifest: Manifest, fit: FitRecord) -> Signature | None:
    """Return the signature of a fit group, whose parameters may name other columns than those of the version's own signature.

    That of a version that was published without is made of its feature column, if it has one.
    """
    columns = manifest.data.columns
    signature = manifest.signature
    if signature is None:
        name = find_column(manifest.data.feature_column or "", columns)
        if name is None:
            return None
        signature = Signature(features=(Column(name=name, type=columns[name]),))
    feature = find_column(fit.params.get("inputCol", ""), columns)
    if feature is not None and len(signature.features) == 1 and feature != signature.names[0]:
        signature = replace(signature, features=(Column(name=feature, type=columns[feature]),))
    label = find_column(fit.params.get("label", ""), columns)
    if label is not None and (signature.label is None or label != signature.label.name):
        signature = replace(signature, label=Column(name=label, type=columns[label]), classes=None)
    return signature
