"""libsvm text as columns: all numbers of a file are parsed at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import DENSE, SPARK_VECTOR_TYPE, SPARSE
from mlsql_runtime.local.data_source import DataFile, DataSource

_LINE = re.compile(rb" *[^\s:#]+(?: +[^\s:]+:[^\s:]+)* *")
_WORD_ENDS = bytes.maketrans(b": ", b"\n\n")


@dataclass(frozen=True)
class _Rows:
    """``labels`` (n,) and, row after row, the entries of all rows: ``offsets`` (n + 1,), ``indices`` from 0, ``values``.

    ``width`` is the largest index that is written out, from 1, be its value zero or not.
    """

    labels: np.ndarray[Any, np.dtype[np.float64]]
    offsets: np.ndarray[Any, np.dtype[np.int64]]
    indices: np.ndarray[Any, np.dtype[np.int64]]
    values: np.ndarray[Any, np.dtype[np.float64]]
    width: int = 1


def read_libsvm(files: list[DataFile], source: DataSource) -> pa.Table:
    """``label`` and ``features``: double, and a vector as wide as the largest index or the option ``numFeatures``.

    :raises DataError: naming file and line, for text that Spark would not take.
    """
    parts = [_parse(file.content(), file.place.uri) for file in files]
    found = max(part.width for part in parts)
    width = int(source.option("numFeatures", str(found)))
    if found > width:
        raise DataError(f"{source.path} holds the index {found}, and numFeatures is {width}", expected=width, found=found)
    vectors = _dense if source.option("vectorType", "sparse") == "dense" else _sparse
    labels = [primitive(part.labels, pa.float64()) for part in parts]
    columns = [pa.chunked_array(labels), pa.chunked_array([vectors(part, width) for part in parts])]
    return pa.table(columns, names=["label", "features"])


def _parse(content: bytes, where: str) -> _Rows:
    """A file's rows; lines that are blank or begin with ``#`` are none."""
    numbered = enumerate(content.splitlines(), 1)
    lines = [(number, line) for number, line in numbered if line.strip() and not line.lstrip().startswith(b"#")]
    for number, line in lines:
        if not _LINE.fullmatch(line):
            raise DataError(f"{where}:{number}: expected 'label index:value index:value …', got {_shown(line)}", line=number)
    counts = np.fromiter((line.count(b":") for _, line in lines), np.int64, len(lines))
    numbers = _numbers(b"\n".join(line for _, line in lines))
    if len(numbers) != len(lines) + 2 * counts.sum():
        raise _not_a_number(lines, where)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    at = 2 * offsets[:-1] + np.arange(len(lines))
    entries = np.delete(numbers, at).reshape(-1, 2)
    rows = _Rows(numbers[at], offsets, entries[:, 0].astype(np.int64), entries[:, 1].copy())
    _check_indices(rows, entries[:, 0], lines, where)
    width = max(1, int(rows.indices.max(initial=0)))
    return _without_zeros(_Rows(rows.labels, rows.offsets, rows.indices - 1, rows.values, width))


def _numbers(text: bytes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """All numbers; none when something else is among them."""
    from pyarrow import csv

    words = text.replace(b"+", b"").translate(_WORD_ENDS)  # a column of numbers, one for each line: Arrow's parser is the fastest
    convert = csv.ConvertOptions(column_types={"number": pa.float64()}, null_values=[])
    try:
        table = csv.read_csv(pa.BufferReader(words), csv.ReadOptions(column_names=["number"]), convert_options=convert)
    except pa.ArrowInvalid:
        return np.empty(0)
    chunks = table.column("number").chunks  # not to_numpy: that would import pandas
    parts = [np.frombuffer(chunk.buffers()[1], np.float64, len(chunk), 8 * chunk.offset) for chunk in chunks if len(chunk)]
    return np.concatenate([np.empty(0), *parts])


def _not_a_number(lines: list[tuple[int, bytes]], where: str) -> DataError:
    for number, line in lines:
        for word in line.replace(b":", b" ").split():
            if not len(_numbers(word)):
                return DataError(f"{where}:{number}: expected a number, got {_shown(word)}", line=number)
    return DataError(f"{where}: expected lines of 'label index:value index:value …'")


def _check_indices(rows: _Rows, given: np.ndarray[Any, Any], lines: list[tuple[int, bytes]], where: str) -> None:
    """Integers from 1, ascending in each row."""
    before = np.concatenate(([0], rows.indices[:-1])) if len(rows.indices) else rows.indices
    before[rows.offsets[:-1][np.diff(rows.offsets) > 0]] = 0
    wrong = np.flatnonzero((rows.indices <= before) | (rows.indices != given))
    if len(wrong):
        row = int(np.searchsorted(rows.offsets, wrong[0], side="right")) - 1
        number, line = lines[row]
        raise DataError(
            f"{where}:{number}: indices should be one-based and in ascending order; found {given[wrong[0]]:g} "
            f"after {before[wrong[0]]} in {_shown(line)}",
            line=number,
        )


def _shown(text: bytes) -> str:
    shown = text.decode(errors="replace")
    return repr(shown if len(shown) < 60 else shown[:57] + "...")


def _without_zeros(rows: _Rows) -> _Rows:
    """Spark does not keep zeros that are written out."""
    keep = rows.values != 0
    if keep.all():
        return rows
    offsets = np.concatenate(([0], np.cumsum(keep)))[rows.offsets]
    return _Rows(rows.labels, offsets, rows.indices[keep], rows.values[keep], rows.width)


def primitive(values: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    """A NumPy array, shape (n,), as an Arrow array on the same memory. ``pa.array`` would import pandas to look at it."""
    typed = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(typed), [None, pa.py_buffer(typed)])


def _lists(offsets: np.ndarray[Any, Any], values: np.ndarray[Any, Any], kind: pa.ListType) -> pa.ListArray:
    return pa.ListArray.from_arrays(primitive(offsets, pa.int32()), primitive(values, kind.value_type), kind)


def _sparse(rows: _Rows, width: int) -> pa.StructArray:
    fields = list(SPARK_VECTOR_TYPE)
    count = len(rows.labels)
    columns = [
        primitive(np.full(count, SPARSE), pa.int8()),
        primitive(np.full(count, width), pa.int32()),
        _lists(rows.offsets, rows.indices, fields[2].type),
        _lists(rows.offsets, rows.values, fields[3].type),
    ]
    return pa.StructArray.from_arrays(columns, fields=fields)


def _dense(rows: _Rows, width: int) -> pa.StructArray:
    fields = list(SPARK_VECTOR_TYPE)
    count = len(rows.labels)
    matrix = np.zeros((count, width))
    matrix[np.repeat(np.arange(count), np.diff(rows.offsets)), rows.indices] = rows.values
    columns = [
        primitive(np.full(count, DENSE), pa.int8()),
        pa.nulls(count, fields[1].type),
        pa.nulls(count, fields[2].type),
        _lists(np.arange(count + 1) * width, matrix.reshape(-1), fields[3].type),
    ]
    return pa.StructArray.from_arrays(columns, fields=fields)
