"""The statements about tables: load, select, save, show."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.names import require_identifier, require_text
from mlsql_runtime.plan.options import check_options, option
from mlsql_runtime.plan.parsers import TEXT, whole
from mlsql_runtime.plan.python_env import hide_passwords
from mlsql_runtime.plan.spark_properties import hide_secrets
from mlsql_runtime.plan.statement_base import Outline, StatementBase, TableOrigin
from mlsql_runtime.plan.table_ref import CATALOG_TABLE, PATH_FORMATS

MAX_SHOWN = 1000  # rows that a result may carry
TEXT_FORMATS = ("json", "csv")  # that a table's text can be in


@dataclass(frozen=True, kw_only=True)
class Load(StatementBase):
    """``load <format>.`<path>` options … as <table>``: any Spark reader format; ``path`` is None for formats without one.

    With the format ``table``, ``path`` is the name of a table in one of the session's catalogs.
    ``text`` are the data themselves, JSON lines or CSV, instead of a path (``jsonStr``, ``csvStr``).
    """

    tag: ClassVar[str] = "load"
    table: str
    format: str
    path: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None

    @property
    def is_from_catalog(self) -> bool:
        return self.format.lower() == CATALOG_TABLE

    def __post_init__(self) -> None:
        require_identifier(self.table, "the name of a loaded table")
        require_text(self.format, f"the format of table {self.table}")
        if self.is_from_catalog:
            require_text(self.path or "", f"the name of the catalog's table that {self.table} is loaded from")
        if self.text is None:
            return
        if self.format not in TEXT_FORMATS:
            raise InputError(f"table {self.table} is loaded from text as {self.format}; expected {' or '.join(TEXT_FORMATS)}")
        if self.path is not None:
            raise InputError(f"table {self.table} is loaded from text and from {self.path}; give one of them")

    @property
    def outline(self) -> Outline:
        is_file = self.path is not None and self.format.lower() in PATH_FORMATS
        return Outline(
            title=f"load {self.table}",
            defines=self.table,
            origin=TableOrigin(
                kind="load",
                format=self.format,
                path=None if self.path is None else hide_passwords(self.path),
                options=hide_secrets(self.options),
                content=None if self.text is None else hashlib.sha256(self.text.encode()).hexdigest(),
            ),
            reads_files=self.path if is_file else None,
            secret_values=self.options,
        )


@dataclass(frozen=True, kw_only=True)
class FunctionRef:
    """A registered function to make callable in SQL as ``name``: what is current for ``function`` under ``model_path``."""

    name: str
    model_path: str
    function: str
    function_version: int | None = None

    def __post_init__(self) -> None:
        require_identifier(self.name, "the SQL name of a function")
        require_text(self.model_path, f"the model path of function {self.name}")
        require_identifier(self.function, f"the function behind {self.name}")


@dataclass(frozen=True, kw_only=True)
class Select(StatementBase):
    """``select … as <table>``: Spark SQL, with registered functions made callable first."""

    tag: ClassVar[str] = "select"
    table: str
    sql: str
    functions: tuple[FunctionRef, ...] = ()

    def __post_init__(self) -> None:
        require_identifier(self.table, "the name of a selected table")
        require_text(self.sql, f"the SQL of table {self.table}")

    @property
    def outline(self) -> Outline:
        return Outline(
            title=f"select {self.table}",
            defines=self.table,
            origin=TableOrigin(kind="select", sql=hide_passwords(self.sql)),
            needs_functions=self.functions,
        )


@dataclass(frozen=True, kw_only=True)
class Save(StatementBase):
    """``save <mode> <table> as <format>.`<path>` options … partitionBy …``: any Spark writer format.

    With the format ``table``, ``path`` is the name of a table in one of the session's catalogs.
    """

    tag: ClassVar[str] = "save"
    table: str
    format: str
    path: str | None = None
    mode: Literal["overwrite", "append", "errorIfExists", "ignore"] = "errorIfExists"
    options: Mapping[str, str] = field(default_factory=dict)
    partition_by: tuple[str, ...] = ()
    file_num: int | None = option(
        "fileNum",
        whole(1),
        None,
        "Number of files; if the output is partitioned, the most for each partition. Spark decides by default.",
        argument="output",
        key="file_num",
        unit="files",
    )
    using: str | None = option(
        "using",
        TEXT,
        None,
        "Format of a table that is created in a catalog, such as ``delta``; by default the catalog's own.",
        argument="output",
        key="format",
    )

    @property
    def is_to_catalog(self) -> bool:
        return self.format.lower() == CATALOG_TABLE

    def __post_init__(self) -> None:
        check_options(self)
        require_identifier(self.table, "the table to save")
        require_text(self.format, f"the format to save table {self.table} in")
        if self.is_to_catalog:
            require_text(self.path or "", f"the name of the catalog's table that {self.table} is saved to")
        elif self.using is not None:
            raise InputError(f"table {self.table} is saved as {self.format}, and using {self.using}; leave out using")
        if self.mode not in ("overwrite", "append", "errorIfExists", "ignore"):
            raise InputError(f"the save mode is {self.mode!r}; expected overwrite, append, errorIfExists or ignore")

    @property
    def outline(self) -> Outline:
        return Outline(
            title=f"save {self.table}",
            reads=(self.table,),
            writes_files=None if self.is_to_catalog else self.path,
            secret_values=self.options,
        )


@dataclass(frozen=True, kw_only=True)
class Show(StatementBase):
    """Bring the first ``rows`` rows of a table back with the result. MLSQL shows the last table of a script so."""

    tag: ClassVar[str] = "show"
    table: str
    rows: int = 20

    def __post_init__(self) -> None:
        require_identifier(self.table, "the table to show")
        if not 1 <= self.rows <= MAX_SHOWN:
            raise InputError(f"{self.rows} rows are to be shown; expected 1 to {MAX_SHOWN}")

    @property
    def outline(self) -> Outline:
        return Outline(title=f"show {self.table}", reads=(self.table,))
