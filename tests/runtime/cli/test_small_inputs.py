"""Small inputs from public reports of other tools, with ``mlsql fit``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest
from support.fit_command import GOOD, SAVE, FitCommand

USUAL = "import json, random, types, numpy.random\n" + GOOD


@pytest.mark.parametrize("name", ["json.py", "random.py", "numpy.py", "sklearn.py", "mlsql.py", "mlsql_model.py", "types.py"])
def test_a_script_may_be_called_as_a_module_that_it_imports(fit: FitCommand, name: str) -> None:
    """scikit-learn#6082."""
    script = "import sklearn.linear_model\n" + USUAL if name == "sklearn.py" else USUAL
    assert fit.report(fit.write(script, name), "--data", "rows.json")["score"] == 0.5


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


UNCOPYABLE = """
import os, mlsql_model
home = os.getcwd()
os.mkdir("elsewhere")
os.chdir("elsewhere")
for _ in range(20):  # a path that is too long
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
os.chdir(home)
os.symlink(home + "/elsewhere", mlsql_model.model_dir() + "/linked")
"""


def test_a_linked_folder_that_cannot_be_copied_fails_its_group(fit: FitCommand) -> None:
    report = fit.report(fit.write(UNCOPYABLE + GOOD), "--data", "rows.json")
    assert report["status"] == "failed"
    assert "a folder to which its model has a link cannot be copied: [Errno 36] File name too long" in report["message"]


def test_pipes_in_a_linked_folder_are_left_out(fit: FitCommand) -> None:
    source = (
        "import os, mlsql_model; os.mkdir('x'); os.mkfifo('x/pipe'); open('x/file', 'w').close();"
        "os.symlink(os.path.abspath('x'), mlsql_model.model_dir() + '/linked');"
    )
    report = fit.report(fit.write(source + GOOD), "--data", "rows.json")
    assert report["status"] == "success"
    assert "linked/file" in {file["path"] for file in report["files"]}


def test_a_script_that_asks_for_input_ends(fit: FitCommand) -> None:
    """fabric#247: it waited for a keyboard that nobody has."""
    report = fit.report(fit.write(GOOD + "; input('Continue? ')"), "--data", "rows.json")
    assert (report["status"], report["message"]) == (
        "failed",
        "it ended with exit code 1: EOFError: EOF when reading a line (train.py:1)",
    )


PARALLEL = """
from joblib import Parallel, delayed

class Half:
    def __call__(self, value):
        return value / 2

def run(method, value):
    return method(value)

print(f"mlsql_validation_score:{sum(Parallel(n_jobs=2)(delayed(run)(Half(), each) for each in (0.25, 0.75)))}")
"""


def test_functions_of_a_script_run_in_processes_of_joblib(fit: FitCommand) -> None:
    """joblib#643: "Can't get attribute 'run'"."""
    assert fit.report(fit.write(PARALLEL + SAVE), "--data", "rows.json")["score"] == 0.5


def test_metrics_that_json_has_no_numbers_for(fit: FitCommand) -> None:
    """mlflow#1234, mlflow#15535, airflow#53835: a metric that is NaN made a run unreadable, or failed it."""
    values = "mlsql.report(loss=float('nan'), most=float('inf'), least=-float('inf'), acc=0.5)"
    done = fit(fit.write(f"{GOOD}; {values}"), "--data", "rows.json", "--json")

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(constant)

    report = json.loads(done.stdout, parse_constant=refuse)
    assert report["metrics"] == {"loss": None, "most": None, "least": None, "acc": 0.5}


@pytest.mark.parametrize("line", ["1,2 1:3", "1, 2 1:3", "1 qid:2 1:3"])
def test_libsvm_files_of_other_kinds_name_the_line(fit: FitCommand, line: str) -> None:
    """scikit-learn#6350: files with several labels, and with queries."""
    (fit.folder / "x.libsvm").write_text(f"0 1:1\n{line}\n")
    done = fit(fit.write(GOOD), "--data", "x.libsvm")
    assert done.returncode == 2
    assert "x.libsvm:2: " in done.stderr
    assert "Traceback" not in done.stderr


def test_columns_are_found_in_upper_and_lower_case(fit: FitCommand) -> None:
    (fit.folder / "x.json").write_text('{"Features": [1], "Label": 1}\n{"Features": [2], "Label": 0}\n')
    script = GOOD + "; X, y = mlsql.all_data(); mlsql.report(labels=y.sum(), features=X.sum())"
    assert fit.report(fit.write(script), "--data", "x.json")["metrics"] == {"labels": 1.0, "features": 3.0}
