"""Lines of text, from Arrow and to Arrow."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.decoding import lines
from mlsql_runtime.feed.decoding.lines import join_lines, read_lines

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1)


@given(st.lists(WORDS), st.integers(0, 3), st.integers(1, 40))
def test_what_is_written_is_read_whatever_the_size_of_a_block(words: list[str], start: int, block: int) -> None:
    column = pa.array(words, pa.string()).slice(start)
    text = bytes(join_lines(column))
    assert text == "".join(word + "\n" for word in words[start:]).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_BLOCK", block)
        read = [line for batch in read_lines(io.BytesIO(text), "it") for line in batch.to_pylist()]
    assert read == words[start:]


def test_blank_lines_do_not_count_and_the_last_may_lack_its_end() -> None:
    batches = list(read_lines(io.BytesIO(b'\n  \n{"a": 1}\r\n\n\t{"b": 2} \n\nlast'), "it"))
    assert [line for batch in batches for line in batch.to_pylist()] == ['{"a": 1}', '{"b": 2}', "last"]
    assert list(read_lines(io.BytesIO(b"\n \n"), "it")) == []
    assert list(read_lines(io.BytesIO(b""), "it")) == []


def test_a_line_that_is_far_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_BLOCK", 8)
    monkeypatch.setattr(lines, "MAX_LINE", 64)
    text = b"short\n" + b"x" * 64
    assert [line for batch in read_lines(io.BytesIO(text), "it") for line in batch.to_pylist()] == ["short", "x" * 64]
    with pytest.raises(DataError, match="write one JSON object in each line"):
        list(read_lines(io.BytesIO(text + b"y"), "it"))


def test_other_encodings_than_utf_8_are_refused() -> None:
    with pytest.raises(DataError, match=r"output\.json is not UTF-8"):
        list(read_lines(io.BytesIO("f\u00fcr\n".encode("latin-1")), "output.json"))
