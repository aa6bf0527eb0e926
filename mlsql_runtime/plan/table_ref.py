"""References to stored tables: ``"libsvm.`/data/x`"`` as in MLSQL, or ``{"format", "path", "options"}``; tables of catalogs:
``"table.`shop.orders`"`` or ``{"table": "shop.orders"}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlsql_runtime.errors import InputError, did_you_mean

CATALOG_TABLE = "table"  # as a format: the path is the name of a table in one of the session's catalogs
FILE_FORMATS = ("avro", "binaryfile", "csv", "json", "libsvm", "orc", "parquet", "text", "xml")  # Spark's, with a path each
PATH_FORMATS = (*FILE_FORMATS, "delta")  # of which a path is one of storage
_TEXT = re.compile(r"\s*([A-Za-z][\w.]*)\.`([^`]+)`\s*")


@dataclass(frozen=True)
class TableRef:
    """A table in storage. ``path`` is None for formats that have none, such as jdbc; of :data:`CATALOG_TABLE` it is the name."""

    format: str
    path: str | None
    options: Mapping[str, str] = field(default_factory=dict)


def parse_table_ref(value: str | Mapping[str, Any], what: str, extra: tuple[str, ...] = ()) -> TableRef:
    """Return the table that a reference in either notation names.

    :param what: the argument's name, for errors.
    :param extra: further keys, which the caller reads itself.
    :raises InputError: for any other text, unknown keys or a missing format.
    """
    if isinstance(value, str):
        match = _TEXT.fullmatch(value)
        if match is None:
            raise InputError(f"{what} is {value!r}; expected format.`path`, such as libsvm.`/data/sample.txt`")
        return TableRef(match[1], match[2])
    if not isinstance(value, Mapping):
        raise InputError(
            f"{what} is a {type(value).__name__}; expected format.`path`, or a dict with format, path and options, or with table"
        )
    known = ("format", "path", "table", "options", *extra)
    for key in value:
        if key not in known:
            raise InputError(f"{what} has the unknown key '{key}'{did_you_mean(str(key), known)}", key=key)
    table, table_format, path = value.get("table"), value.get("format"), value.get("path")
    if table and (table_format or path):
        other = "format" if table_format else "path"
        raise InputError(f"{what} names the table {table} of a catalog, and a {other}; leave one of them out")
    if not table and not table_format:
        raise InputError(
            f"{what} names no format; expected a Spark format such as parquet, json, csv or libsvm, or a table of a catalog"
        )
    options = value.get("options") or {}
    if not isinstance(options, Mapping):
        raise InputError(f"the options of {what} are a {type(options).__name__}; expected a dict")
    return TableRef(
        CATALOG_TABLE if table else str(table_format),
        str(table) if table else None if path is None else str(path),
        {str(k): format_option(v) for k, v in options.items() if v is not None},
    )


def format_option(value: Any) -> str:
    """Return an option's value as text that Spark and MLSQL read: booleans in lower case, anything else by ``str``."""
    return str(value).lower() if isinstance(value, bool) else str(value)
