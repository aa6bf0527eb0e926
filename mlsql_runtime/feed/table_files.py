"""A table as files in a local folder, as a script is told about it. Standard library only."""

from __future__ import annotations

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
