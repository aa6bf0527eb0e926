"""``mlsql models export`` and ``import``: what they print, and their exit codes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from support.exchange import BUILTIN, VECTORS, classifier, package
from support.model_commands import Capture, from_json
from support.models import publish_model
from support.predict_scripts import BATCH
from support.workbench import Script

from mlsql_runtime.cli.main import main


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = publish_model(tmp_path / "m", classifier(), VECTORS)
    package(path, BUILTIN)
    return path


def test_export_says_what_it_wrote(path: str, tmp_path: Path, capsys: Capture) -> None:
    capsys.readouterr()

    assert main(["models", "export", path, "--version", "1", "--group", "0", str(tmp_path / "out")]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"model        {path}, version 1, group 0"
    assert lines[1] == "predictions  function jack, version 1"
    assert lines[2].startswith(f"mlflow       {tmp_path / 'out'}, ")


def test_export_and_import_as_json(path: str, tmp_path: Path, capsys: Capture) -> None:
    capsys.readouterr()

    exported = from_json(capsys, "models", "export", path, str(tmp_path / "out"))
    imported = from_json(capsys, "models", "import", str(tmp_path / "out"), str(tmp_path / "again"))

    assert {name: exported[name] for name in ("model_path", "version", "alg_index", "format")} == {
        "model_path": path,
        "version": 1,
        "alg_index": 0,
        "format": "mlflow",
    }
    assert (imported["version"], imported["imported"]["format"]) == (1, "mlflow")
    assert imported["imported"]["facts"]["model_path"] == path


def test_what_a_predict_script_prints_is_not_part_of_the_json(path: str, tmp_path: Path, script: Script, capsys: Capture) -> None:
    talking = script("print('hello')\n" + BATCH.format(body="return model.predict(X)", arguments=""))
    capsys.readouterr()

    assert main(["models", "export", path, str(tmp_path / "out"), "--script", talking, "--json"]) == 0

    said = capsys.readouterr()
    assert json.loads(said.out)["predictions"] == f"the predict script {Path(talking).name}"
    assert "[export] hello\n" in said.err


def test_an_imported_version_is_shown_as_one(tmp_path: Path, capsys: Capture) -> None:
    source = tmp_path / "spam.pkl"
    source.write_bytes(pickle.dumps(classifier()))
    path = str(tmp_path / "m")

    assert main(["models", "import", str(source), path, "--score", "0.93", "--description", "of the old platform"]) == 0
    out = capsys.readouterr().out
    assert f"version    1 of {path}" in out
    assert f"imported   pickle model {source}, by " in out
    assert "score      0.93" in out

    assert main(["models", "show", path]) == 0
    shown = capsys.readouterr().out
    assert f"pickle model {source}, by " in shown
    assert "rows" not in shown.partition("functions")[0]
    details = from_json(capsys, "models", "show", path)
    assert details["imported"]["source"] == str(source)
    assert main(["models", "verify", path]) == 0
    assert main(["models", path]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "{path}", "{path}"), "exists already; name a folder that does not exist"),
        (("export", "{path}", "out", "--version", "7"), "holds no complete version 7"),
        (("export", "{path}", "out", "--group", "3"), "fit group 3 does not exist"),
        (("export", "{path}", "out", "--function", "f", "--builtin", "sklearn"), "give --function or --builtin, not both"),
        (("export", "{path}", "out", "--format", "onnx", "--function", "f"), "--function is for MLflow models"),
        (("export", "{path}", "out", "--script", "none.py"), "there is no script at none.py"),
        (("export", "nowhere", "out"), "does not exist; expected a model path"),
        (("import", "nowhere", "{path}"), "there is no model at"),
        (("import", "{path}", "{path}"), "is a folder without MLmodel"),
        (("import", "x.pkl", "{path}", "--score", "nan"), "nan is not a finite number"),
        (("import", "x.pkl", "{path}", "--lower-is-better"), "--lower-is-better is about the score"),
    ],
)
def test_wrong_arguments(arguments: tuple[str, ...], message: str, path: str, capsys: Capture) -> None:
    capsys.readouterr()

    assert main(["models", *(each.format(path=path) for each in arguments)]) == 2

    assert message in " ".join(capsys.readouterr().err.split())
    assert not Path("out").exists()
