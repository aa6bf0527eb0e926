"""The interface of a scorer, which calls a user's predict function, and the errors of such functions."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from mlsql_runtime.errors import ScriptFailed


class Scorer(Protocol):
    """Score Arrow batches: ``vectors`` of one ``width`` in, as many vectors out, null for null."""

    def score(self, partition: int, vectors: pa.StructArray, width: int) -> pa.StructArray: ...


def to_script_error(name: str, error: Exception, hint: str = "") -> ScriptFailed:
    """Return an exception of a predict function as a failure of its script."""
    return ScriptFailed(f"function {name} failed: {type(error).__name__}: {error}{hint}")
