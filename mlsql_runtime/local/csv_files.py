"""CSV files, as far as pyarrow reads them as Spark does. Everything else is refused.

Spark reads with univocity: a record is a line, and a quote counts at the beginning of a field only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.local.data_source import DataFile, DataSource, csv_dialect

_BLOCK = 64 << 20  # bytes, no line may be longer
_BLANK_LINES = re.compile(rb"\n[\x00-\x09\x0b-\x20]+(?=\n|\Z)")

# Values that Spark may take for something else than text, and those whose type is certain.
_MAYBE_TYPED = (
    r"^[\x00-\x20]*([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[fFdD]?|[+-]?0[xX].*|[+-]?\d{4,7}-.*|T?\d{1,2}:.*"
    r"|(?i:[+-]?(nan|inf|infinity)|true|false))[\x00-\x20]*$"
)
_INTEGER = r"^-?\d{1,18}$"
_NUMBER = r"^-?\d{1,18}(\.\d+)?([eE][+-]?\d{1,3})?$"
_FRACTION = r"^-?\d{1,18}\.\d+$"  # without any, Spark may read decimals
_BOOLEAN = r"(?i)^(true|false)$"
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_TIME = r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d{1,6})?$"


def read_csv(files: list[DataFile], source: DataSource, zone: str) -> pa.Table:
    """Return all rows of CSV files: columns of text, or of the types that Spark infers with the option ``inferSchema``.

    :raises DataError: when Spark might read something else.
    """
    tables = [table for file in files if (table := _read_file(file, source)) is not None]
    if not tables:
        return pa.table({})
    if len({table.num_columns for table in tables}) > 1:
        raise source.refuse(f"the files of {source.path} have different numbers of columns")
    names = [f"_c{at}" for at in range(tables[0].num_columns)]
    if source.flag("header"):
        headers = [[column[0].as_py() for column in table.columns] for table in tables]
        if any(header != headers[0] for header in headers):
            raise source.refuse(f"the files of {source.path} have different headers")
        names = _name_columns(headers[0])
        tables = [table.slice(1) for table in tables]
    columns = pa.concat_tables(tables).columns
    if source.flag("inferSchema"):
        columns = [_infer_type(column, name, source, zone) for column, name in zip(columns, names, strict=True)]
    return pa.table(columns, names=names)


def _name_columns(header: list[str | None]) -> list[str]:
    """Return the names that Spark gives: numbered where there is none, or another one that differs in case only."""
    lower = [(name or "").lower() for name in header]
    return [f"_c{at}" if not name else f"{name}{at}" if lower.count(name.lower()) > 1 else name for at, name in enumerate(header)]


def find_advice(source: DataSource, columns: Sequence[str]) -> str:
    """Return which option of a CSV source without an expected column may be missing; nothing if none is suspected."""
    if source.format != "csv":
        return ""
    if not source.flag("header"):
        return "; add --option header=true if the first line names the columns"
    separators = {";": "';'", "\t": "'\\t'", "|": "'|'", ",": ","}
    found = next((each for each in separators if len(columns) == 1 and each in columns[0]), None)
    return "" if found is None else f"; add --option sep={separators[found]} if that separates the columns"


def _read_file(file: DataFile, source: DataSource) -> pa.Table | None:
    """Return all lines as columns of text, the header too; None for a file without any."""
    from pyarrow import csv

    content = _BLANK_LINES.sub(b"", b"\n" + file.read())
    if not content.strip(b"\r\n"):
        return None
    separator, quote, escape = csv_dialect(source)
    null = source.option("nullValue", "")
    _check_quotes(content, file, source)
    width = content.strip(b"\r\n").partition(b"\n")[0].count(separator.encode()) + 1
    parse = csv.ParseOptions(
        delimiter=separator, quote_char=quote or False, double_quote=bool(quote) and escape == quote, escape_char=False
    )
    convert = csv.ConvertOptions(
        column_types={f"f{at}": pa.string() for at in range(width)}, null_values=["", null], strings_can_be_null=True
    )
    read = csv.ReadOptions(autogenerate_column_names=True, block_size=_BLOCK)
    try:
        return csv.read_csv(pa.BufferReader(content), read, parse, convert)
    except pa.ArrowInvalid as error:
        raise source.refuse(f"{file.place.uri}: {str(error)[:500]}") from error


def _check_quotes(content: bytes, file: DataFile, source: DataSource) -> None:
    """Raise unless each quote begins or ends a field and quoted fields need no unescaping but that of doubled quotes.

    Spark takes other quotes as they are, and so doubled ones when the escape character is a backslash.
    """
    separator, quote, escape = (re.escape(text.encode()) for text in csv_dialect(source))
    mark = source.option("quote", '"').encode()
    if not mark or mark not in content:
        return
    inside = rb"(?:[^%b\r\n]|%b%b)*" % (quote, quote, quote) if escape == quote else rb"[^%b%b\r\n]*" % (quote, escape)
    field = rb"%b(?<=[\n%b]%b)%b%b(?=%b|\r?\n|\r?\Z)" % (quote, separator, quote, inside, quote, separator)
    rest = re.sub(field, b"", content)
    if mark in rest:
        line = rest[rest.rfind(b"\n", 0, rest.index(mark)) + 1 :].partition(b"\n")[0].decode(errors="replace")
        raise source.refuse(f"{file.place.uri} has quotes that Spark reads in its own way, in the line {line[:60]!r}")
    if source.option("nullValue", "") and mark * 2 in content:
        raise source.refuse(f"{file.place.uri} has empty texts in quotes, which differ from nulls with the option nullValue")


def _infer_type(column: pa.ChunkedArray, name: str, source: DataSource, zone: str) -> pa.ChunkedArray:
    """Return a column of text in the type that Spark infers.

    :raises DataError: when that is not certain.
    """
    known = column.drop_null()

    def matches(pattern: str, test: pc.Function = pc.all) -> bool:
        return bool(test(pc.match_substring_regex(known, pattern)).as_py())

    if not len(known) or not matches(_MAYBE_TYPED):
        return column
    try:
        if matches(_INTEGER):
            return _cast_integers(column)
        if matches(_NUMBER) and matches(_FRACTION, pc.any):
            return column.cast(pa.float64())
        if matches(_BOOLEAN):
            return pc.equal(pc.utf8_lower(column), "true")
        if matches(_DATE):
            return column.cast(pa.date32())
        if matches(_TIME):
            return pc.assume_timezone(column.cast(pa.timestamp("us")), zone, ambiguous="earliest")
    except pa.ArrowInvalid:  # such as the 30th of February, or an hour that summer time skips
        pass
    example = next(value for value in known.to_pylist() if value)
    problem = f"{source.path}: the type that Spark infers for column '{name}', with values like {example!r}, is not certain"
    raise source.refuse(problem, column=name)


def _cast_integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.int32())
    except pa.ArrowInvalid:  # out of range
        return column.cast(pa.int64())
