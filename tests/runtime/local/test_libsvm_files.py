"""libsvm files give the same columns, rows and files by way of Spark and without it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.both_ways import BothWays, assert_same
from support.workbench import SAMPLE


@pytest.mark.parametrize("feed", ["json", "parquet"])
@pytest.mark.parametrize("options", [{}, {"numFeatures": "700"}, {"numfeatures": "692"}])
def test_libsvm_sample(both: BothWays, options: dict[str, str], feed: str) -> None:
    assert_same(both, "libsvm", SAMPLE, options, feed)


LIBSVM = {
    "comments and blanks": "# first\n1 1:2 3:4\n\n   \n-1.5e-3 2:5 \n# last",
    "no entries": "1\n0 1:1\n2\n",
    "zeros": "1 1:0 2:1\n0 1:0\n",
    "carriage returns": "+1 1:+2\r\n2 7:1e-7\r\n",
    "leading blanks": "  1   1:2   5:3\n",
    "long numbers": "1 1:0.1234567890123456789 2:1e300 3:-0.0\n",
}


@pytest.mark.parametrize("text", LIBSVM.values(), ids=LIBSVM)
def test_libsvm_text(both: BothWays, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(text)
    assert_same(both, "libsvm", tmp_path / "x.txt")


def test_libsvm_folder_with_spark_s_own_files(both: BothWays, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for name in ("part-0", "sub/part-1", "_SUCCESS", ".part-0.crc"):
        (folder / name).write_text("1 1:1 2:2\n0 2:3\n" if name[-1] in "01" else "junk")
    (folder / "part-2").write_text("")
    assert_same(both, "libsvm", folder)
