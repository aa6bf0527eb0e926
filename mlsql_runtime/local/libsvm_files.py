"""libsvm files as Spark reads them. All numbers are parsed at once, by pyarrow.

``sklearn.datasets.load_svmlight_file`` would take a second to import, and reads other files: comments at the end of a line,
query ids, indices from 0 and in any order.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE, SPARSE
from mlsql_runtime.local.data_source import DataFile, DataSource

_ROW = re.compile(rb" *[^\s:#]+(?: +[^\s:]+:[^\s:]+)* *")
_WORD_ENDS = bytes.maketrans(b": ", b"\n\n")
_LARGEST = (1 << 31) - 1  # index in a vector of Spark
Floats = np.ndarray[Any, np.dtype[np.float64]]


def read_libsvm(files: list[DataFile], source: DataSource) -> pa.Table:
    """Return ``label`` (double) and ``features``: sparse vectors as wide as the largest index or the option ``numFeatures``.

    :raises DataError: for text that Spark would refuse, naming file and line.
    """
    lines = [line for file in files for line in file.read().splitlines() if _is_row(line)]
    counts = np.fromiter((line.count(b":") for line in lines), np.int64, len(lines))
    offsets = np.concatenate(([0], np.cumsum(counts)))  # of the entries of each row
    numbers = _parse_numbers(b"\n".join(lines)) if all(map(_ROW.fullmatch, lines)) else None
    if numbers is None or len(numbers) != len(lines) + 2 * offsets[-1]:
        raise _find_error(files)
    labels_at = 2 * offsets[:-1] + np.arange(len(lines))
    entries = np.delete(numbers, labels_at).reshape(-1, 2)
    if not (entries[:, 0] <= _LARGEST).all():
        raise _find_error(files)
    indices, values = entries[:, 0].astype(np.int64), entries[:, 1]
    before = np.concatenate(([0], indices[:-1]))[: len(indices)]
    before[offsets[:-1][counts > 0]] = 0
    if ((indices <= before) | (indices != entries[:, 0])).any():
        raise _find_error(files)
    largest = max(1, int(indices.max(initial=0)))
    width = int(source.option("numFeatures", str(largest)))
    if largest > width:
        raise DataError(f"{source.path} holds the index {largest}, and numFeatures is {width}", expected=width, found=largest)
    is_kept = values != 0  # Spark drops zeros
    offsets = np.concatenate(([0], np.cumsum(is_kept)))[offsets]
    vectors = _to_vectors(offsets, indices[is_kept] - 1, values[is_kept], width)
    return pa.table([to_arrow(numbers[labels_at], pa.float64()), vectors], names=["label", "features"])


def _is_row(line: bytes) -> bool:
    """Return whether a line is neither blank nor a comment."""
    start = line.lstrip()[:1]
    return bool(start) and start != b"#"


def _parse_numbers(text: bytes) -> Floats | None:
    """Return all numbers of a text, shape (n,); None when a word is not one."""
    from pyarrow import csv

    if not text:
        return np.empty(0)
    unsigned = re.sub(rb"(?<![\d.+])\+(?=[\d.])", b"", text) if b"+" in text else text
    words = unsigned.translate(_WORD_ENDS)  # one to a line: Arrow's CSV reader is the fastest parser
    convert = csv.ConvertOptions(column_types={"number": pa.float64()}, null_values=[])
    try:
        table = csv.read_csv(pa.BufferReader(words), csv.ReadOptions(column_names=["number"]), convert_options=convert)
    except pa.ArrowInvalid:
        return None
    chunks = table.column("number").chunks  # not to_numpy: that would import pandas
    return np.concatenate([np.from_dlpack(chunk) for chunk in chunks])


def _find_error(files: list[DataFile]) -> DataError:
    """Return the error of the first line that Spark would refuse."""
    for file in files:
        for number, line in enumerate(file.read().splitlines(), 1):
            if _is_row(line) and (problem := _describe_problem(line)):
                return DataError(f"{file.place.uri}:{number}: {problem}", line=number)
    return DataError("expected lines of 'label index:value index:value …'")


def _describe_problem(line: bytes) -> str | None:
    if not _ROW.fullmatch(line):
        return f"expected 'label index:value index:value …', got {_shorten(line)}"
    words = line.replace(b":", b" ").split()
    if _parse_numbers(b" ".join(words)) is None:  # all at once: a call for each word would take minutes for large files
        word = next(word for word in words if _parse_numbers(word) is None)
        return f"expected a number, got {_shorten(word)}"
    before = 0.0
    for entry in line.split()[1:]:
        index = float(entry.partition(b":")[0])
        if index <= before or index % 1:
            return f"indices should be one-based and in ascending order; found {index:g} after {before:g} in {_shorten(line)}"
        if index > _LARGEST:
            return f"indices should be at most {_LARGEST}, found {index:.0f}"
        before = index
    return None


def _shorten(text: bytes) -> str:
    shown = text.decode(errors="replace")
    return repr(shown if len(shown) < 60 else shown[:57] + "...")


def to_arrow(values: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    """Return a NumPy array, shape (n,), as an Arrow array on the same memory. ``pa.array`` would import pandas for that."""
    typed = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(typed), [None, pa.py_buffer(typed)])


def _to_vectors(offsets: np.ndarray[Any, Any], indices: np.ndarray[Any, Any], values: Floats, width: int) -> pa.StructArray:
    """Return sparse vectors from where the entries of each row begin, shape (n + 1,), and all entries in one piece."""
    fields, count, starts = list(SPARK_VECTOR_TYPE), len(offsets) - 1, to_arrow(offsets, pa.int32())
    columns = [
        to_arrow(np.full(count, SPARSE), pa.int8()),
        to_arrow(np.full(count, width), pa.int32()),
        pa.ListArray.from_arrays(starts, to_arrow(indices, pa.int32()), fields[2].type),
        pa.ListArray.from_arrays(starts, to_arrow(values, pa.float64()), fields[3].type),
    ]
    return pa.StructArray.from_arrays(columns, fields=fields)
