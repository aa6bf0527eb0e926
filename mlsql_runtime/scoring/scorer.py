"""The interface of a scorer, which calls a user's predict function, and the errors of such functions."""

from __future__ import annotations

import re
from typing import Protocol

import pyarrow as pa

from mlsql_runtime.errors import ScriptFailed
from mlsql_runtime.scoring.arguments import Columns
from mlsql_runtime.script.project_code import PREFIX
from mlsql_runtime.script.start import describe, find_place


class Scorer(Protocol):
    """Score Arrow batches: columns in, as many results out. ``width`` is that of a row as a vector, None if it is not known."""

    def score(self, partition: int, columns: Columns, width: int | None) -> pa.Array: ...


# Files of code that was pickled in a script's folder, and of modules that came with it.
_SCRIPT_FILE = re.compile(rf"(?:.*/mlsql-(?:register|fit)-[^/]*/work|{PREFIX}\w+)/(.+)")


def to_script_error(name: str, error: BaseException, hint: str = "") -> ScriptFailed:
    """Return an exception of a predict function as a failure of its script, with the line of the script."""
    place = find_place(error, _to_name)
    return ScriptFailed(f"function {name} failed: {describe(error)}{f' ({place})' if place else ''}{hint}")


def _to_name(file: str) -> str | None:
    match = _SCRIPT_FILE.fullmatch(file)
    return match[1] if match else None
