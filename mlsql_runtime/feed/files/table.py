"""A table as files in a local folder, as a script is told about it. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class TableFiles:
    """``rows`` is what Spark wrote, and so what a reader must find; ``schema`` is Arrow's IPC schema message in base64."""

    tag: ClassVar[str] = "files"
    path: str
    format: str
    options: Mapping[str, str]
    rows: int
    schema: str


def data_files(folder: str) -> list[str]:
    """The files that hold rows, in a fixed order; Spark's own begin with ``_`` or ``.``."""
    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names if name[0] not in "._"]
    return sorted(paths)
