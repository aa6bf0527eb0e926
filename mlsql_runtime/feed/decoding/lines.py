"""Lines of text between Arrow and files, without a Python string for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlsql_runtime.errors import DataError

_BLOCK = 8 << 20  # bytes that are read at a time
MAX_LINE = 1 << 30  # bytes: Arrow counts those of a block in 31 bits


def join_lines(column: pa.StringArray) -> bytes | pa.Buffer:
    """Return strings without nulls as lines, in UTF-8."""
    if len(column) == 0:
        return b""
    last = pa.array([""], column.type)  # joined with a newline before it, so the line before ends with one
    values = pa.concat_arrays([column, last])
    return pc.binary_join(pa.ListArray.from_arrays([0, len(values)], values), "\n")[0].as_buffer()


def read_lines(file: IO[bytes], what: str) -> Iterator[pa.StringArray]:
    """Yield the lines that are not blank, without the white space around them, some megabytes at a time.

    :param what: the file, for the error.
    :raises DataError: when it is not UTF-8.
    """
    begun: list[bytes] = []  # of a line whose end is not read yet
    size = 0
    while block := file.read(_BLOCK):
        complete, newline, rest = block.rpartition(b"\n")
        if newline:
            yield from _split(b"".join([*begun, complete, newline]), what)
            begun, size = [], 0
        begun.append(rest)
        size += len(rest)
        if size > MAX_LINE:
            raise DataError(f"{what} has a line of more than {MAX_LINE >> 20} MiB; write one JSON object in each line")
    if size:
        yield from _split(b"".join([*begun, b"\n"]), what)


def _split(text: bytes, what: str) -> Iterator[pa.StringArray]:
    """Yield the lines of a text that ends with a newline."""
    starts = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")).astype(np.int32) + 1
    offsets = np.concatenate(([0], starts), dtype=np.int32)
    lines = pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(text))
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid as error:
        raise DataError(f"{what} is not UTF-8 ({error}); write text with encoding='utf-8'") from error
    trimmed = pc.utf8_trim_whitespace(lines)
    kept = trimmed.filter(pc.not_equal(trimmed, ""))
    if len(kept):
        yield kept
