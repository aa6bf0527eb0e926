"""Arrow arrays as CSV, value for value as Spark writes them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from mlsql_runtime.feed.files.json_writer import json_text

_ROWS = 8192
Texts = list["str | None"]  # one for each value, None for null


def csv_lines(table: pa.Table) -> Iterator[str]:
    """One line for each row, without a header; quotes are doubled, nulls are nothing and empty texts are ``""``.

    Spark's writer quotes a line that would begin like a comment.
    """
    for batch in table.to_batches(max_chunksize=_ROWS):
        columns = [[_csv_field(text) for text in _plain_texts(column)] for column in batch.columns]
        columns[:1] = [[f'"{text}"' if text.startswith("#") else text for text in column] for column in columns[:1]]
        yield from map(",".join, zip(*columns, strict=True))


def _csv_field(text: str | None) -> str:
    if text is None:
        return ""
    text = text.strip(" \t\n\r\f\v\0")  # so does Spark's writer
    if not text or any(mark in text for mark in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _plain_texts(array: pa.Array) -> Texts:
    if pa.types.is_string(array.type):
        return array.to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_binary(array.type):
        return [None if value is None else f"[{value.hex(' ').upper()}]" for value in array.to_pylist()]
    return [None if text is None else text.strip('"') for text in json_text(array).to_pylist()]
