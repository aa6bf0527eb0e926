"""The file of a version's metric curves, and those of its groups in the staging folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from mlsql_runtime import codec
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.curves import Curves, CurvesDocument, thin_groups
from mlsql_runtime.store.manifest import load


def encode_curves(groups: Mapping[str, Curves]) -> bytes:
    """Return the file of curves, by group."""
    return json.dumps(codec.encode(CurvesDocument(groups=groups)), allow_nan=False).encode()


def write_curves(folder: Location, files: Iterable[Location]) -> None:
    """Write the curves of a version into its folder, from the files of its groups; nothing if no group reported."""
    groups: dict[str, Curves] = {}
    for place in files:
        groups = thin_groups({**groups, **_read(place)})
    if groups:
        (folder / layout.CURVES).write(encode_curves(groups))


def read_curves(folder: Location) -> dict[int, Curves]:
    """Read the curves of a version by group: one small file; none if no script reported, or before curves were kept.

    :raises FormatError: naming the file, if it is damaged.
    """
    return {int(index): curves for index, curves in _read(folder / layout.CURVES).items() if index.isdecimal()}


def _read(place: Location) -> Mapping[str, Curves]:
    text = place.read_or_none()
    return {} if text is None else load(CurvesDocument, text, place.uri).groups
