"""CSV as Spark reads it: a record is a line, all is text unless types are inferred, and quotes follow univocity's rules."""

from __future__ import annotations

import decimal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.local.data_source import DataFile, DataSource
from mlsql_runtime.local.spark_types import as_local_time

_INTEGER = r"^[+-]?\d{1,38}$"
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[fFdD]?\s*$|^NaN$|^[+-]?Inf(inity)?$"
_BOOLEAN = r"(?i)^(true|false)$"
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_TIME = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?$"


@dataclass(frozen=True)
class _Dialect:
    """``quote`` and ``escape`` are one character, or empty for none."""

    sep: str
    quote: str
    escape: str
    null: str

    @classmethod
    def of(cls, source: DataSource) -> _Dialect:
        sep = source.option("sep", source.option("delimiter", ","))
        return cls(
            sep=sep.replace("\\t", "\t").replace("\\\\", "\\"),
            quote=source.option("quote", '"'),
            escape=source.option("escape", "\\"),
            null=source.option("nullValue", ""),
        )

    def record(self, line: str) -> list[str | None]:
        """The fields of a line; None for one that is empty or the null value."""
        if not self.quote or self.quote not in line:
            return [self._value(text) for text in line.split(self.sep)]
        fields, at = [], 0
        while True:
            text, at = self._field(line, at)
            fields.append(text)
            if at > len(line):
                return fields

    def _field(self, line: str, at: int) -> tuple[str | None, int]:
        """The field that begins at ``at``, and where the next one does; past the end when there is none."""
        if line.startswith(self.quote, at):
            closed = self._quoted(line, at + 1)
            if closed is not None:
                return closed
        end = line.find(self.sep, at)
        end = len(line) if end < 0 else end
        return self._value(line[at:end]), end + len(self.sep)

    def _quoted(self, line: str, at: int) -> tuple[str | None, int] | None:
        """What is inside of quotes; None when text follows them, for then they are part of it."""
        text: list[str] = []
        while at < len(line):
            pair = line[at : at + 2]
            if len(pair) == 2 and pair[0] == self.escape and pair[1] in (self.quote, self.escape):
                text.append(pair[1])
                at += 2
            elif pair[0] == self.quote:
                after = at + 1
                if after < len(line) and not line.startswith(self.sep, after):
                    return None
                inside = "".join(text)
                return None if inside == self.null else inside, after + len(self.sep) if after < len(line) else len(line) + 1
            else:
                text.append(pair[0])
                at += 1
        return "".join(text), len(line) + 1  # never closed: the rest of the line

    def _value(self, text: str) -> str | None:
        return None if text in ("", self.null) else text


def read_csv(files: list[DataFile], source: DataSource, zone: str) -> pa.Table:
    """All rows, with fields that a line lacks as null and those it has too many left out; columns as the first line has them."""
    dialect, has_header = _Dialect.of(source), source.flag("header")
    texts = [_text(file) for file in files]
    names = _names(texts, dialect, has_header)
    if not names:
        return pa.table({})
    tables = [_read(text, names, dialect, has_header) for text in texts]
    table = pa.concat_tables(tables)
    if not source.flag("inferSchema"):
        return table
    return pa.table([_inferred(column, zone) for column in table.columns], names=names)


def _text(file: DataFile) -> str:
    text = file.content().decode("utf-8", "replace").removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.split("\n") if line.strip())


def _names(texts: list[str], dialect: _Dialect, has_header: bool) -> list[str]:
    """From the header, numbered where Spark does: no name, or one that another column has in whatever case of letters."""
    first = next((line for text in texts for line in _lines(text)), None)
    if first is None:
        return []
    fields = dialect.record(first)
    if not has_header:
        return [f"_c{at}" for at in range(len(fields))]
    lower = [(name or "").lower() for name in fields]
    return [f"_c{at}" if not name else f"{name}{at}" if lower.count(name.lower()) > 1 else name for at, name in enumerate(fields)]


def _read(text: str, names: list[str], dialect: _Dialect, has_header: bool) -> pa.Table:
    if (dialect.quote and dialect.quote in text) or len(dialect.sep) > 1 or len(names) == 1:
        return _by_line(text, names, dialect, has_header)
    try:
        return _by_column(text, names, dialect, has_header)
    except pa.ArrowInvalid:  # lines of different lengths
        return _by_line(text, names, dialect, has_header)


def _by_column(text: str, names: list[str], dialect: _Dialect, has_header: bool) -> pa.Table:
    from pyarrow import csv

    content = text.lstrip("\n").encode()
    if not content.strip():
        return _table([], names)
    read = csv.ReadOptions(column_names=names, skip_rows=int(has_header))
    parse = csv.ParseOptions(delimiter=dialect.sep, quote_char=False, escape_char=False)
    convert = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), null_values=["", dialect.null], strings_can_be_null=True
    )
    return csv.read_csv(pa.BufferReader(content), read, parse, convert)


def _by_line(text: str, names: list[str], dialect: _Dialect, has_header: bool) -> pa.Table:
    lines = _lines(text)
    if has_header:
        next(lines, None)
    width = len(names)
    missing = [None] * width
    return _table([(dialect.record(line) + missing)[:width] for line in lines], names)


def _table(rows: Sequence[Sequence[str | None]], names: list[str]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.table([pa.array(column, pa.string()) for column in columns], names=names)


def _inferred(column: pa.ChunkedArray, zone: str) -> pa.ChunkedArray:
    """A column of text as the narrowest type that all of it has: int, bigint, decimal, double, date, timestamp, boolean."""
    texts = column.combine_chunks()
    known = texts.drop_null()
    if not len(known):
        return column

    def all_match(pattern: str) -> bool:
        return bool(pc.all(pc.match_substring_regex(known, pattern)).as_py())

    try:
        if all_match(_INTEGER):
            return pa.chunked_array([_integers(texts)])
        if all_match(_NUMBER):
            plain = pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), r"^\+|(?:([\d.])[fFdD])$", r"\1")
            return pa.chunked_array([pc.cast(plain, pa.float64())])
        if all_match(_BOOLEAN):
            return pa.chunked_array([pc.equal(pc.utf8_lower(texts), "true")])
        if all_match(_DATE):
            return pa.chunked_array([pc.cast(texts, pa.date32())])
        if all_match(_TIME):
            return pa.chunked_array([as_local_time(texts, zone)])
    except pa.ArrowInvalid:  # such as the 30th of February
        pass
    return column


def _integers(texts: pa.Array) -> pa.Array:
    plain = pc.replace_substring_regex(texts, r"^\+", "")
    for kind in (pa.int32(), pa.int64()):
        try:
            return pc.cast(plain, kind)
        except pa.ArrowInvalid:
            continue
    values = [None if text is None else decimal.Decimal(text) for text in plain.to_pylist()]
    digits = max(len(value.as_tuple().digits) for value in values if value is not None)
    return pa.array(values, pa.decimal128(digits, 0))
