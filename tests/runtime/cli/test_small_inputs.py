"""Small inputs from public reports of other tools, with ``mlsql fit``."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fit_command import GOOD, FitCommand

USUAL = "import json, random, numpy, sklearn.linear_model\n" + GOOD


@pytest.mark.parametrize("name", ["json.py", "random.py", "numpy.py", "sklearn.py", "mlsql.py", "mlsql_model.py", "types.py"])
def test_a_script_may_be_called_as_a_module_that_it_imports(fit: FitCommand, name: str) -> None:
    """scikit-learn#6082."""
    assert fit.report(fit.write(USUAL, name), "--data", "rows.json")["score"] == 0.5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.libsvm", "1 1:2\n0 1:1\n"),
        ("x.json", '{"features": [1], "label": 1}\n{"features": [2], "label": 0}\n'),
        ("x.csv", "1,2\n3,4\n"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_files_that_begin_with_a_byte_order_mark(fit: FitCommand, name: str, text: str, line_end: str) -> None:
    """databricks/spark-csv#142."""
    (fit.folder / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", line_end).encode())
    script = GOOD + "; import pyarrow as pa; t = pa.Table.from_batches(mlsql.read_arrow()); assert '\\ufeff' not in str(t), t"
    report = fit.report(fit.write(script), "--data", name)
    assert (report["status"], report["rows"]) == ("success", 2), report


LINKS = """
import os, mlsql_model
model = mlsql_model.model_dir()
os.makedirs(model + "/v1/größe")
for file in ("/v1/a [1].bin", "/v1/größe/.hidden"):
    open(model + file, "w").close()
os.symlink("v1", model + "/latest")
os.symlink("v1/a [1].bin", model + "/file")
os.symlink("/nowhere", model + "/dangling")
os.symlink("..", model + "/v1/up")
"""


def test_links_in_a_model_are_kept_as_copies(fit: FitCommand, tmp_path: Path) -> None:
    """mlflow#2672: TensorFlow and others link to their newest checkpoint."""
    report = fit.report(fit.write(LINKS + GOOD.replace("mlsql_model.sk_save_model({'a': 1});", "")), "--data", "rows.json")
    assert sorted(file["path"] for file in report["files"]) == [
        *("file", "latest/a [1].bin", "latest/größe/.hidden"),
        *("v1/a [1].bin", "v1/größe/.hidden"),
    ]
    assert report["message"] == "its model has links that lead nowhere, or into themselves, and are not kept: dangling, v1/up"
