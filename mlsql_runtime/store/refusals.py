"""Registrations that were refused: kept for whoever asks later why a function is what it is, or is not there at all."""

from __future__ import annotations

from mlsql_runtime import codec
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.functions import function_dir
from mlsql_runtime.store.manifest import FORMAT_VERSION, Refusal, Refusals, load

KEPT = 100  # for each function: a gate may refuse every night


def add_refusal(root: Location, function: str, refusal: Refusal) -> None:
    """Add a refusal, atomically; the newest hundred are kept.

    Of two at the same moment one may be lost. What is current is in another document, which is not touched.
    """
    kept = (*read_refusals(root, function), refusal)[-KEPT:]
    document = Refusals(format_version=FORMAT_VERSION, function=function, refusals=kept)
    (function_dir(root, function) / layout.REFUSALS).replace(codec.dumps(document).encode())


def read_refusals(root: Location, function: str) -> tuple[Refusal, ...]:
    """The refusals that are kept for a name, oldest first, whether it was ever registered or not."""
    place = function_dir(root, function) / layout.REFUSALS
    text = place.read_or_none()
    return () if text is None else load(Refusals, text, place.uri).refusals


def list_refused_functions(root: Location) -> list[str]:
    """The names whose every registration was refused."""
    folder = root / layout.FUNCTIONS
    return [
        name
        for name in folder.list_names()
        if not (folder / name / layout.CURRENT).exists() and (folder / name / layout.REFUSALS).exists()
    ]
