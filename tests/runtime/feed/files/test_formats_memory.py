"""Reading in batches takes as much memory for a table of 230 MB as for a small one. Each format in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlsql_runtime import codec
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.table_facts import encode_schema

SOME, ROWS, WIDTH = 500, 30_000, 1000
MEGABYTES = ROWS * WIDTH * 8 >> 20
LIMIT = 110  # some blocks of text or pages of a column, and what was taken from them
SCHEMA = pa.schema([("label", pa.float64()), ("features", pa.list_(pa.float64()))])

ONE_CORE = os.environ | {"OMP_NUM_THREADS": "1"}  # as a fit group has it

PROGRAM = """
import json, sys
from mlsql_runtime import codec
from mlsql_runtime.feed.decoding.features_and_labels import choose_columns, read_matrix_batches
from mlsql_runtime.feed.decoding.frames import read_frames
from mlsql_runtime.feed.files.table import TableFiles

def peak():  # in megabytes; ru_maxrss would begin with what the parent had
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) >> 10

def count_rows(table):
    if what == "frames":
        return sum(len(frame) for frame in read_frames(table, (), "label", 500))
    return sum(len(y) for _, y in read_matrix_batches(table, choose_columns(table, {}), 500, None))

what = sys.argv[1]
small, large = (codec.loads(TableFiles, text, "the test") for text in sys.argv[2:])
assert count_rows(small) == small.rows
before = peak()
rows = count_rows(large)
print(json.dumps({"rows": rows, "grown": peak() - before}))
"""


def table(rows: int, below: int = 1 << 20) -> pa.Table:
    values = np.random.default_rng(0).integers(0, below, rows * WIDTH).astype(np.float64)
    lists = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * WIDTH), pa.array(values))
    return pa.table({"label": np.arange(rows) % 2.0, "features": lists}, SCHEMA)


def write_parquet(rows: int, path: Path) -> None:
    """In a single row group."""
    pq.write_table(table(rows), path, row_group_size=rows)


def write_json(rows: int, path: Path) -> None:
    """The first rows again and again, with short numbers, which take as much memory and less time."""
    lines = "".join(json.dumps(row) + "\n" for row in table(SOME, below=10).to_pylist())
    path.write_text(lines * (rows // SOME))


WRITERS: dict[str, Callable[[int, Path], None]] = {"parquet": write_parquet, "json": write_json}


@pytest.fixture(scope="module", params=WRITERS)
def described(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small and a large table in files of one format."""
    found = []
    for rows in (SOME, ROWS):
        folder = tmp_path_factory.mktemp(f"{rows}")
        WRITERS[request.param](rows, folder / f"part-0.{request.param}")
        files = TableFiles(path=str(folder), format=request.param, options={}, rows=rows, schema=encode_schema(SCHEMA))
        found.append(codec.dumps(files))
    return found


@pytest.mark.parametrize("what", ["matrices", "frames"])
def test_reading_in_batches_does_not_hold_the_table(described: list[str], what: str) -> None:
    command = [sys.executable, "-c", PROGRAM, what, *described]
    done = subprocess.run(command, env=ONE_CORE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["rows"] == ROWS
    assert answer["grown"] < LIMIT < MEGABYTES / 2, answer
