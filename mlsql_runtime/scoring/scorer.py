"""The protocols between a predict function and us. A scorer answers one Arrow batch of vectors with another."""

from __future__ import annotations

from typing import Any, Protocol

import pyarrow as pa

from mlsql_runtime.errors import ScriptFailed


class Scorer(Protocol):
    """``vectors`` in, all of one ``width``; as many vectors out, null for null."""

    def score(self, partition: int, vectors: pa.StructArray, width: int) -> pa.StructArray: ...


def failed(name: str, error: Exception, hint: str = "") -> ScriptFailed:
    """What a predict function raised, as an error of its script."""
    return ScriptFailed(f"function {name} failed: {type(error).__name__}: {error}{hint}")


def shown(value: Any) -> str:
    """A value for an error message, cut."""
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."
