"""Before Spark starts: scripts and archives that register and predict have from the training of their model."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.stores import make_fit_record, make_manifest

from mlsql_runtime.plan import NO_SECRETS, Load, Plan, Predict, PythonEnv, Register, Statement, Train
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.project_files import pack_files
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.submission.precheck import find_problems
from mlsql_runtime.submission.training_archives import find_training_archives

ENV = PythonEnv(path="env/bin/python", archives=("/e.tar.gz#env",))


def plan(*statements: Statement) -> Plan:
    return Plan(job_id="j", statements=(Load(table="data", format="csv", path="s3://b/d"), *statements))


def problems(*statements: Statement) -> list[str]:
    return [error.message for error in find_problems(plan(*statements), NO_SECRETS, is_local=False)]


@pytest.fixture
def model(local_root: Location) -> str:
    """A version with a project that has a predict script, trained with an interpreter in an archive."""
    with claim_version(local_root, "job") as draft:
        (draft.folder / "model/0/model.pickle").write(b"a model")
        (draft.folder / layout.PROJECT).write(pack_files({"train.py": b"1", "predict.py": b"print(1"}))
        draft.publish(
            make_manifest(draft.version, [make_fit_record(0, 0.9)], files=draft.file_entries(), parameters=ENV.system_params)
        )
    return local_root.uri


def predict(model: str, **fields: object) -> Predict:
    return Predict(table="data", model_path=model, result="p", **fields)  # type: ignore[arg-type]


def test_the_kept_script_is_checked_as_any_other(model: str) -> None:
    (problem,) = problems(Register(model_path=model, function="f"))
    assert problem.startswith("predict.py:1: '(' was never closed")
    (problem,) = problems(predict(model))
    assert "has no batch_predict.py, which predict needs" in problem


def test_the_project_of_a_training_before_is_checked(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print(1)")
    (tmp_path / "batch_predict.py").write_text("print(1)")
    root = str(tmp_path / "m")
    train = Train(table="data", model_path=root, script_path=str(tmp_path))
    assert problems(train, predict(root)) == []
    (problem,) = problems(train, Register(model_path=root, function="f"))
    assert "has no predict.py, which register needs" in problem


def test_archives_of_the_training_come_along_unless_the_statement_has_a_python_of_its_own(model: str, tmp_path: Path) -> None:
    assert list(find_training_archives(plan(predict(model)))) == ["/e.tar.gz#env"]
    assert list(find_training_archives(plan(predict(model, python=PythonEnv(envs={"A": "b"}))))) == ["/e.tar.gz#env"]
    others = (
        predict(model, python=PythonEnv(path="python")),
        predict(model, python=PythonEnv(archives=("/f.zip#env",))),
        Register(model_path=model, function="f"),
    )
    assert list(find_training_archives(plan(*others))) == []
    again = Train(table="data", model_path=model, script_path="/t.py", python=PythonEnv(archives=("/f.zip#env",)))
    assert list(find_training_archives(plan(again, predict(model)))) == []
    new = Train(table="data", model_path=str(tmp_path / "n"), script_path="/t.py")
    assert list(find_training_archives(plan(new, predict(str(tmp_path / "n"))))) == []
