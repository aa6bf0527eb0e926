"""Packed environments of users, as they are looked at before Spark starts."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from mlsql_runtime.errors import InputError
from mlsql_runtime.submission.precheck import check_archive


def packed(mode: str, kind: bytes = tarfile.REGTYPE, size: int = 5) -> bytes:
    """Return a tar with one entry."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo("bin/python")
        info.size, info.type = size, kind
        archive.addfile(info, io.BytesIO(b"\0" * size))
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_known_however_it_is_compressed(tmp_path: Path, mode: str) -> None:
    (tmp_path / "env.tar.gz").write_bytes(packed(mode))
    check_archive(f"{tmp_path}/env.tar.gz#env")


@pytest.mark.parametrize(
    "content", [lzma.compress(b"x")[:-3], b"\xfd7zXZ\0" + b"\xff" * 600, b"BZh9" + b"\xff" * 600, b"\0" * 1024]
)
def test_a_damaged_one_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "env.tar.gz").write_bytes(content)
    with pytest.raises(InputError, match="broken or of another kind"):
        check_archive(f"{tmp_path}/env.tar.gz#env")


def test_no_more_than_the_first_header_is_unpacked(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "env.tar.gz", "wb") as file:
        file.write(packed("w", b"x", 200 << 20))  # a header with attributes, which tarfile reads as a whole
    tracemalloc.start()
    check_archive(f"{tmp_path}/env.tar.gz#env")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16 << 20
