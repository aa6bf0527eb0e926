"""Pickles as MLSQL's module read and wrote them. :mod:`mlsql_model` saves and loads models."""

from __future__ import annotations

import os
import pickle
from typing import IO, Any


def load(path: str) -> Any:
    """Unpickle a file; an empty list if there is none. :func:`mlsql_model.load` loads models."""
    if not os.path.exists(path):
        return []
    with open(path, "rb") as file:
        return pickle.load(file)  # noqa: S301 - as MLSQL's function did


def dump(value: Any, file: IO[bytes]) -> str:
    """Pickle a value to an open file, close it, and return its name."""
    with file:
        pickle.dump(value, file)
    return file.name
