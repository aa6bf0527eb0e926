"""The interface of a scorer, which calls a user's predict function, and the errors of such functions."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

from mlsql_runtime.errors import ScriptFailed
from mlsql_runtime.scoring.arguments import Columns


class Scorer(Protocol):
    """Score Arrow batches: columns in, as many results out. ``width`` is that of a row as a vector, None if it is not known."""

    def score(self, partition: int, columns: Columns, width: int | None) -> pa.Array: ...


def to_script_error(name: str, error: Exception, hint: str = "") -> ScriptFailed:
    """Return an exception of a predict function as a failure of its script."""
    return ScriptFailed(f"function {name} failed: {type(error).__name__}: {error}{hint}")
