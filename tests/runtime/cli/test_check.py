"""mlsql check: all errors with their places, exit codes, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlsql_runtime.cli.main import main

Capture = pytest.CaptureFixture[str]

WRONG = """load csv.`/d` as t;
slect * from t as u;
save t as parquet.`${out}`;
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write scripts to, as the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_errors_with_place_and_caret(here: Path, capsys: Capture) -> None:
    (here / "job.mlsql").write_text(WRONG)
    assert main(["check", "job.mlsql"]) == 2
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "job.mlsql:2:1: there is no statement 'slect'; did you mean 'select'?",
        "    slect * from t as u;",
        "    ^^^^^",
        "job.mlsql:3:20: variable 'out' is not set; set it in the script or give it from outside",
        "    save t as parquet.`${out}`;",
        "                       ^^^^^^",
        "job.mlsql: 2 errors",
    ]
    assert err == ""


def test_several_scripts_and_variables(here: Path, capsys: Capture) -> None:
    (here / "a.mlsql").write_text("include `lib/b.mlsql`; save t as orc.`${out}`;")
    (here / "lib").mkdir()
    (here / "lib/b.mlsql").write_text("load csv.`/d` as t;\nset scope.x='1' where scope='y';")
    assert main(["check", "a.mlsql", "lib/b.mlsql", "--var", "out=/o"]) == 0
    out, err = capsys.readouterr()
    assert out == "a.mlsql: no errors, 2 statements\nlib/b.mlsql: no errors, 1 statement\n"
    assert "the scope of a variable is the script" in err


def test_variables_in_a_file(here: Path, capsys: Capture) -> None:
    (here / "a.mlsql").write_text("load csv.`/${a}/${b}` as t; save t as orc.`${c}`;")
    (here / "v.json").write_text('{"a": "x", "b": 1, "c": ""}')
    assert main(["check", "a.mlsql", "--var-file", "v.json", "--var", "c=/o"]) == 0
    assert capsys.readouterr().out == "a.mlsql: no errors, 2 statements\n"


def test_functions_from_outside(here: Path, capsys: Capture) -> None:
    (here / "a.mlsql").write_text("load csv.`/d` as t; select jack(x) from t as u;")
    assert main(["check", "a.mlsql", "--function", f"jack={here}/m", "--inputs"]) == 2
    assert f"a.mlsql:1:21: {here}/m holds no function 'jack'" in capsys.readouterr().out


def test_inputs(here: Path, capsys: Capture) -> None:
    (here / "a.mlsql").write_text(
        """load csv.`/nowhere` as t;
train t as PythonAlg.`/tmp/none/m` where pythonScriptPath="none.py";
register PythonAlg.`/tmp/none/m` as f options pythonScriptPath="bad.py";
save t as parquet.`/tmp/none/o`; load parquet.`/tmp/none/o` as stored;
"""
    )
    (here / "bad.py").write_text("def f(:")
    assert main(["check", "a.mlsql"]) == 0
    capsys.readouterr()
    assert main(["check", "a.mlsql", "--inputs"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a.mlsql:1:1: table 't': there is nothing at /nowhere; check the path of the data"
    assert lines[1].startswith(f"a.mlsql:2:1: there is no script at {here}/none.py")
    assert lines[2].startswith(f"a.mlsql:3:1: {here}/bad.py:1: ")
    assert lines[3:] == ["a.mlsql: 3 errors"]


def test_json(here: Path, capsys: Capture) -> None:
    (here / "job.mlsql").write_text(WRONG)
    assert main(["check", "job.mlsql", "--json"]) == 2
    [report] = json.loads(capsys.readouterr().out)
    assert (report["script"], report["warnings"]) == ("job.mlsql", [])
    assert [(error["file"], error["line"], error["column"]) for error in report["errors"]] == [
        ("job.mlsql", 2, 1),
        ("job.mlsql", 3, 20),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check"], "Missing argument 'SCRIPT...'"),
        (["check", "none.mlsql"], "none.mlsql: No such file or directory; expected a script in MLSQL"),
        (["check", "."], ".: Is a directory"),
        (["check", "latin.mlsql"], "latin.mlsql: not UTF-8 text"),
        (["check", "ok.mlsql", "--var", "x"], "'x' is not a pair; expected name=value"),
        (["check", "ok.mlsql", "--var", "x=1", "--var", "x=2"], "x is given twice"),
        (["check", "ok.mlsql", "--var", "a b=1"], "variable 'a b' is given"),
        (["check", "ok.mlsql", "--function", "a-b=/m"], "the SQL name of a function is 'a-b'"),
        (["check", "ok.mlsql", "--var-file", "none"], "--var-file none: No such file or directory; expected a JSON object"),
        (["check", "ok.mlsql", "--var-file", "ok.mlsql"], "--var-file ok.mlsql: not JSON"),
        (["check", "ok.mlsql", "--var-file", "list.json"], "list.json: expected a JSON object of names to texts"),
        (["run", "none.mlsql"], "none.mlsql: No such file"),
        (["run", "ok.mlsql", "--rows", "1001"], "1001 is not in the range"),
        (["run", "ok.mlsql", "--conf", "spark"], "'spark' is not a pair"),
        (["check", ""], "the name of a script is empty"),
        (["run", "ok.mlsql", "--master", "locl"], "'locl'; expected local[*], spark://host:7077, yarn"),
        (["run", "ok.mlsql", "--conf", "executor.memory=4g"], "'executor.memory' is not a Spark property"),
        (["run", "ok.mlsql", "--conf", "spark.submit.deployMode=cluster"], "jobs run in client mode"),
        (["run", "ok.mlsql", "--conf-file", "list.json"], "--conf-file list.json: expected a JSON object"),
        (["run", "nothing.mlsql"], "the script has no statement that does anything"),
        (["run", "wrong.mlsql"], "wrong.mlsql:1:1: there is no statement 'x'"),
    ],
)
def test_wrong_input(here: Path, capsys: Capture, arguments: list[str], message: str) -> None:
    (here / "ok.mlsql").write_text("load csv.`/d` as t;")
    (here / "list.json").write_text("[1]")
    (here / "nothing.mlsql").write_text("-- nothing\nset a='1';")
    (here / "latin.mlsql").write_bytes(b"set a='\xe9';")
    (here / "wrong.mlsql").write_text("x;")
    assert main(arguments) == 2
    assert message in "".join(capsys.readouterr())


def test_one_unreadable_script_does_not_hide_the_others(here: Path, capsys: Capture) -> None:
    (here / "job.mlsql").write_text(WRONG)
    assert main(["check", "none.mlsql", "job.mlsql", "--json"]) == 2
    assert [len(report["errors"]) for report in json.loads(capsys.readouterr().out)] == [1, 2]


def test_an_unknown_scheme_is_one_error_among_others(here: Path, capsys: Capture) -> None:
    train = "train t as PythonAlg.`bogus://x/y` where pythonScriptPath='none.py';"
    (here / "a.mlsql").write_text(f"load csv.`/none1` as t;\n{train}\nload csv.`/none2` as u;")
    assert main(["check", "a.mlsql", "--inputs"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["a.mlsql:1:1", "a.mlsql:2:1", "a.mlsql:3:1", "a.mlsql"]


def test_storage_that_fails_has_its_own_exit_code(here: Path, capsys: Capture) -> None:
    (here / "m").mkdir()
    (here / "m/_model_1").mkdir()
    (here / "m/_model_1/manifest.json").mkdir()  # a folder cannot be read, whoever asks
    (here / "p.py").write_text("")
    (here / "a.mlsql").write_text(f"register PythonAlg.`{here}/m` as f options pythonScriptPath='p.py';")
    assert main(["check", "a.mlsql", "--inputs", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)[0]["errors"][0]["kind"] == "StorageError"


def test_an_unexpected_error_is_reported_in_one_sentence(here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlsql_runtime.cli.check.read_script", lambda path: 1 / 0)
    assert main(["check", "a.mlsql"]) == 70
    assert capsys.readouterr().err.startswith("mlsql: ZeroDivisionError: division by zero; this is an error in mlsql")
    monkeypatch.setenv("MLSQL_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["check", "a.mlsql"])
