"""What refusals and scores do to the tasks after them, in a real Airflow."""

from __future__ import annotations

import re
from pathlib import Path

from support.airflow import Airflow
from support.events import asset_events, task_states
from support.stores import Store
from support.workbench import SAMPLE, TESTS

REFUSED = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, Param
from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator

with DAG("refused", schedule=None, params={{"fail": Param("fail")}}):
    usual = dict(model_path="{tmp}/m", python_script_path="{tmp}/predict.py", min_score=2)
    for name, on_refused in (("skip", "skip"), ("fail", "{{{{ params.fail }}}}")):
        refused = MLSQLRegisterOperator(
            task_id=name, function_name=name, on_refused=on_refused, outlets=[Asset("refused_" + name)], **usual
        )
        refused >> EmptyOperator(task_id="after_" + name)
    refused = MLSQLRegisterOperator(task_id="succeed", function_name="jack", **usual)
    MLSQLPredictOperator(
        task_id="after_succeed",
        data="libsvm.`{data}`",
        functions=refused.output,
        sql="select jack(features) as prediction from data",
        output="parquet.`{tmp}/out`",
    )
"""


def test_a_refusal_succeeds_skips_or_fails_as_asked_says_why_and_prediction_fails_by_name(
    airflow: Airflow, tmp_path: Path, store: Store
) -> None:
    store(score=0.75)
    (tmp_path / "predict.py").write_text("raise SystemExit('a refused model needs no predict script')")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/refused.py").write_text(REFUSED.format(tmp=tmp_path, data=SAMPLE))
    log = airflow.test("refused", dags=tmp_path / "dags")
    assert task_states(airflow, "refused") == {
        "skip": "skipped",
        "after_skip": "skipped",
        "fail": "failed",
        "after_fail": "upstream_failed",
        "succeed": "success",
        "after_succeed": "failed",
    }
    reason = "version 1, group 0 has score 0.75; expected at least 2.0"
    answers = {name: answer for name, answer in airflow.xcoms("refused").items() if not name.startswith("after")}
    told = {name: (answer["function"], answer["registered"], answer["reason"]) for name, answer in answers.items()}
    assert told == {"skip": ("skip", False, reason), "fail": ("fail", False, reason), "succeed": ("jack", False, reason)}
    assert answers["succeed"]["function_version"] is None
    assert f"Refused: fail is unchanged: {reason}" in log
    assert asset_events(airflow, "refused") == {}
    assert f"{tmp_path / 'm'} holds no function 'jack'; registered there: none" in log
    assert not (tmp_path / "out").exists()


BRANCHING = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor

with DAG("branching", schedule=None):
    train = MLSQLModelSensor(task_id="train", model_path="{tmp}/m")  # its XCom is that of a training
    register, tell = EmptyOperator(task_id="register"), EmptyOperator(task_id="tell")

{example}
"""


def test_the_documentations_branch_on_a_score(airflow: Airflow, tmp_path: Path, store: Store) -> None:
    page = (TESTS.parent / "docs/how-to/branch-on-a-score.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page.partition("\n## ")[0], re.DOTALL)
    dags = tmp_path / "dags"
    dags.mkdir()
    indented = "".join(f"    {line}" for line in example.splitlines(keepends=True))
    (dags / "branching.py").write_text(BRANCHING.format(tmp=tmp_path, example=indented))
    for score, way in ((0.95, "register"), (None, "tell")):
        store(score=score)
        airflow.succeed("branching", dags=dags)
        states = task_states(airflow, "branching")
        assert {name: states[name] for name in ("register", "tell")} == {
            name: "success" if name == way else "skipped" for name in ("register", "tell")
        }
