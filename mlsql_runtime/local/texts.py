"""Arrow arrays as text, value for value as Spark writes them: JSON and CSV."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_ROWS = 8192
Texts = list["str | None"]  # one for each value, None for null


def json_lines(table: pa.Table) -> Iterator[str]:
    """One JSON object for each row, fields that are null left out."""
    for batch in table.to_batches(max_chunksize=_ROWS):
        yield from _objects(batch.schema.names, [json_texts(column) for column in batch.columns], batch.num_rows)


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
        return _each(array, lambda value: f"[{value.hex(' ').upper()}]")
    texts = json_texts(array)
    return [None if text is None else text.strip('"') for text in texts]


def json_texts(array: pa.Array) -> Texts:
    """The JSON text of each value."""
    kind = array.type
    if pa.types.is_struct(kind):
        fields = [json_texts(pc.struct_field(array, at)) for at in range(kind.num_fields)]
        objects = _objects([field.name for field in kind], fields, len(array))
        return [text if valid else None for text, valid in zip(objects, array.is_valid().to_pylist(), strict=True)]
    if pa.types.is_map(kind):
        return _maps(array)
    if pa.types.is_list(kind):
        return [None if items is None else f"[{','.join(text or 'null' for text in items)}]" for items in _lists(array)]
    for test, text_of in _SCALARS:
        if test(kind):
            return _each(array, text_of)
    return [None if text is None else str(text) for text in array.to_pylist()]  # integers, decimals


def _each(array: pa.Array, text_of: Callable[[Any], str]) -> Texts:
    return [None if value is None else text_of(value) for value in array.to_pylist()]


def _float32(value: float) -> str:
    import numpy as np

    return str(np.float32(value)) if math.isfinite(value) else _float(value)


def _float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


def _string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _time(value: Any) -> str:
    text: str = value.isoformat(timespec="milliseconds")
    return f'"{text[:-6]}Z"' if text.endswith("+00:00") else f'"{text}"'


_SCALARS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], str]], ...] = (
    (pa.types.is_float64, _float),
    (pa.types.is_float32, _float32),
    (pa.types.is_string, _string),
    (pa.types.is_boolean, lambda value: "true" if value else "false"),
    (pa.types.is_date, lambda value: f'"{value.isoformat()}"'),
    (pa.types.is_timestamp, _time),
    (pa.types.is_binary, lambda value: f'"{base64.b64encode(value).decode()}"'),
)


def _objects(names: Iterable[str], columns: list[Texts], count: int) -> Iterator[str]:
    """``{"name":text,…}`` for each row, from the columns' texts."""
    keys = [_string(name) + ":" for name in names]
    if not keys:
        yield from ["{}"] * count
        return
    for row in zip(*columns, strict=True):
        yield "{" + ",".join([key + text for key, text in zip(keys, row, strict=True) if text is not None]) + "}"


def _lists(array: pa.Array) -> Iterator[Texts | None]:
    texts, at = json_texts(array.flatten()), 0
    for length in pc.list_value_length(array).to_pylist():
        if length is None:
            yield None
        else:
            yield texts[at : at + length]
            at += length


def _maps(array: pa.MapArray) -> Texts:
    """Keys are text whatever their type; null values are kept."""
    answer: Texts = []
    for entries in array.to_pylist():
        if entries is None:
            answer.append(None)
            continue
        keys = [_string(key if isinstance(key, str) else str(key)) for key, _ in entries]
        values = json_texts(pa.array([value for _, value in entries], array.type.item_type))
        answer.append("{" + ",".join(f"{key}:{text or 'null'}" for key, text in zip(keys, values, strict=True)) + "}")
    return answer
