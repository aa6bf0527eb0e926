"""``mlsql fit``: scripts that fail, and input that is wrong."""

from __future__ import annotations

import os

import pytest
from support.fit_command import GOOD, SAVE, FitCommand
from support.workbench import EXAMPLES

BAYES = str(EXAMPLES / "train_bayes.py")

SCRIPTS = {
    "raises": ("raise ValueError('no luck')", "failed", "it ended with exit code 1: ValueError: no luck"),
    "exits": ("import sys; print('last words'); sys.exit(3)", "failed", "it ended with exit code 3"),
    "is killed": ("import os; os.kill(os.getpid(), 9)", "failed", "it was killed by SIGKILL"),
    "hangs": ("import time; time.sleep(600)", "timeout", "it ran longer than its timeout of 1 s and was ended"),
    "no model": ("print('mlsql_validation_score:1')", "failed", "it wrote no model: tempModelLocalPath was empty"),
    "no score": (SAVE, "success", "it printed no mlsql_validation_score, so it has no score"),
    "a file instead of a folder": (
        "import mlsql; open(mlsql.internal_system_param['tempModelLocalPath'], 'w').write('x')",
        "failed",
        "it wrote a file to tempModelLocalPath, which is the name of a folder",
    ),
    "not a number": (SAVE + "print('mlsql_validation_score:nan')", "success", "nan, which counts as no score"),
}


@pytest.mark.parametrize(("source", "status", "message"), SCRIPTS.values(), ids=SCRIPTS)
def test_how_a_script_ends(fit: FitCommand, source: str, status: str, message: str) -> None:
    timeout = "1" if status == "timeout" else "60"
    report = fit.report(fit.write(source), "--data", "rows.json", "--timeout", timeout, "--model-dir", "m")
    assert report["status"] == status
    assert message in report["message"]
    assert report["score"] is None
    assert os.path.exists(fit.folder / "m") == (status == "success")
    assert fit.left == []


def test_a_failure_says_where_the_output_is(fit: FitCommand) -> None:
    done = fit(fit.write("print('x'); raise ValueError('no luck')"), "--data", "rows.json", "--keep-local-directory")
    assert done.returncode == 1
    assert "status   failed: it ended with exit code 1: ValueError: no luck" in done.stdout
    (kept,) = fit.left
    assert f"output   above, in full in {fit.scratch}/{kept}/log" in done.stdout
    assert (fit.scratch / kept / "log").read_text().startswith("x\nTraceback")


PEOPLE = ["--data", "people.json"]
CSV = ["--data", "csv.`rows.csv`"]
WRONG: dict[str, tuple[list[str], str]] = {
    "neither script nor algorithm": (["--data", "rows.json"], "no script is given; name one as SCRIPT, or"),
    "both": (["good.py", "--builtin", "sklearn", "--data", "rows.json"], "both SCRIPT 'good.py' and builtin 'sklearn' are given"),
    "no estimator": (["--builtin", "sklearn", "--data", "rows.json"], "fitParam.0.moduleName is not given"),
    "seed": (["good.py", "--data", "rows.json", "--seed", "-1"], "expected a whole number from 0 to 4294967295"),
    "no script": (["nowhere.py", "--data", "rows.json"], "there is no script at nowhere.py"),
    "no Python file": (["rows.json", "--data", "rows.json"], "is not a .py file"),
    "no train.py in the folder": (["tmp", "--data", "rows.json"], "has no train.py"),
    "Python 2": (["two.py", "--data", "nowhere.json"], "two.py:1: Missing parentheses"),
    "no interpreter": (
        ["good.py", "--data", "rows.json", "--python", "/nowhere/python"],
        "no Python interpreter /nowhere/python",
    ),
    "wrong flag": (["good.py", "--data", "rows.json", "--python-param=--bogus"], "does not run as a Python 3 interpreter"),
    "no data": (["good.py"], "Missing option '--data'"),
    "data not there": (["good.py", "--data", "nowhere.json"], "--data: there is nothing at nowhere.json"),
    "unknown scheme": (["good.py", "--data", "json.`nope://x`"], "no file system for this scheme"),
    "orc that is not there": (["good.py", "--data", "orc.`nowhere`"], "--data: there is nothing at nowhere"),
    "format with a mistake": (["good.py", "--data", "jsn.`rows.json`"], "no format is called 'jsn'; did you mean 'json'?"),
    "header that is not taken as one": (
        ["good.py", *CSV, "--feature-cols", "age"],
        "add --option header=true if the first line names the columns",
    ),
    "other separator": (
        ["good.py", "--data", "csv.`semicolons.csv`", "--option", "header=true", "--feature-cols", "a,b"],
        "add --option sep=';' if that separates the columns",
    ),
    "option without value": (["good.py", *CSV, "--option", "header"], "expected name=value"),
    "option twice": (["good.py", *CSV, "--option", "sep=a", "--option", "sep=b"], "sep is given twice"),
    "fraction": (["good.py", "--data", "rows.json", "--validate", "1.5"], "the held-out fraction is 1.5"),
    "fraction that leaves nothing": (["good.py", "--data", "rows.json", "--validate", "0.9999"], "all its 2 rows are held out"),
    "two validations": (
        ["good.py", "--data", "rows.json", "--validate", "0.5", "--validate-data", "rows.json"],
        "expected one of them",
    ),
    "validation not there": (
        ["good.py", "--data", "rows.json", "--validate-data", "n.json"],
        "--validate-data: there is nothing",
    ),
    "empty": (["good.py", "--data", "empty.json"], "is empty: there is nothing to train on"),
    "no such column": ([BAYES, *CSV], "has no column 'features', which mlsql.read_batches in train_bayes.py reads"),
    "no JSON": (["good.py", "--data", "json.`rows.csv`"], "rows.csv:1: expected a JSON object"),
    "model there": (["good.py", "--data", "rows.json", "--model-dir", "full"], "exists and is not empty"),
    "model a file": (["good.py", "--data", "rows.json", "--model-dir", "rows.csv"], "exists and is not empty"),
    "model where nothing can be written": (
        ["good.py", "--data", "rows.json", "--model-dir", "/proc/model"],
        "--model-dir /proc/model: no file can be written there",
    ),
    "resource": (
        ["good.py", "--data", "rows.json", "--fit-param", "resource.a=nowhere"],
        "resource.a=nowhere: there is nothing there",
    ),
    "timeout": (["good.py", "--data", "rows.json", "--timeout", "0"], "--timeout is 0.0; expected a number over 0"),
    "feature column": (
        ["good.py", *PEOPLE, "--feature-cols", "age,citi"],
        "no column 'citi', which featureCols names; did you mean",
    ),
    "label among features": (
        ["good.py", *PEOPLE, "--feature-cols", "a,b", "--label-col", "A"],
        "'A' is among the feature columns",
    ),
    "label with nulls": (["good.py", *PEOPLE, "--label-col", "label"], "'label' of the training table holds 1 nulls in 2 rows"),
    "validation column": (
        ["good.py", *PEOPLE, "--feature-cols", "age", "--validate-data", "rows.json"],
        "the validation table has no column 'age'",
    ),
    "stratify alone": (["good.py", *PEOPLE, "--stratify"], "a fraction of each class, and none is given"),
    "stratify without a label": (
        ["good.py", *PEOPLE, "--feature-cols", "age", "--validate", "0.5", "--stratify"],
        "stratify needs a label",
    ),
    "widths": (["good.py", "--data", "widths.json"], "vectors of different widths, from 1 to 2"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_input(fit: FitCommand, arguments: list[str], message: str) -> None:
    fit.write(GOOD, "good.py")
    fit.write("print 'x'", "two.py")
    fit.write("", "empty.json")
    fit.write("a,b\n", "rows.csv")
    fit.write("a;b\n1;2\n", "semicolons.csv")
    fit.write("x", "full/x")
    fit.write('{"age":1,"city":"a","label":null}\n{"age":2,"city":"b","label":1}\n', "people.json")
    fit.write('{"features":{"type":1,"values":[1]}}\n{"features":{"type":1,"values":[1,2]}}\n', "widths.json")
    done = fit(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert fit.left == []
