"""Dynamic task mapping: tasks of one name at the same time, each with the job, the version and the XCom of its own."""

from __future__ import annotations

from pathlib import Path

from support.airflow import Airflow
from support.deployment import Deployment
from support.tries import SAVE
from support.workbench import SAMPLE, Script

from mlsql_runtime.plan import TaskTry
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_function
from mlsql_runtime.store.versions import read_manifest

DAG = "mlsql_dynamic_mapping"


def test_each_segment_has_a_model_and_a_function_of_its_own(airflow: Airflow, tmp_path: Path) -> None:
    airflow.succeed(DAG, {"model_path": str(tmp_path)})
    scores, rows = {}, 0
    for index, segment in enumerate(("thin", "bold")):
        trained = airflow.xcoms(DAG, map_index=index)["train"]
        registered = airflow.xcoms(DAG, map_index=index)["register"]
        root = Location.of(str(tmp_path / segment))
        assert (trained["model_path"], trained["version"]) == (root.uri, 1)
        assert (registered["model_path"], registered["function"], registered["registered"]) == (root.uri, f"jack_{segment}", True)
        run = read_manifest(root).job_id.removeprefix(f"{DAG}.train[{index}]/")
        assert read_function(root, f"jack_{segment}").job_id == f"{DAG}.register[{index}]/{run}"
        scores[f"jack_{segment}"] = trained["score"]
        rows += trained["rows"]
    assert 40 < rows < 100  # each row is in one segment, and some of each are held out
    assert airflow.xcoms(DAG)["summary"] == {"best": max(scores, key=lambda name: scores[name]), "scores": scores}


ONE_PATH = """
from airflow.sdk import DAG
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

with DAG("mapped_into_one_path", schedule=None):
    train = MLSQLTrainOperator.partial(
        task_id="train", data="libsvm.`{data}`", model_path="{root}", python_script_path="{script}"
    )
    train.expand(sql=["select label, features from data limit " + str(rows) for rows in (40, 50)])
"""


def test_mapped_trainings_into_one_path_do_not_take_each_others_versions(
    deployment: Deployment, tmp_path: Path, script: Script
) -> None:
    root = Location.of(str(tmp_path / "m"))
    dag = ONE_PATH.format(data=SAMPLE, root=root.uri, script=script(SAVE))
    (deployment.dags / "mapped_into_one_path.py").write_text(dag)
    run = deployment.run("mapped_into_one_path")
    answers = [deployment.xcom("mapped_into_one_path", run, "train", index) for index in range(2)]
    assert sorted(answer["version"] for answer in answers) == [1, 2]
    assert [answer["rows"] for answer in answers] == [40, 50]
    for index, answer in enumerate(answers):
        manifest = read_manifest(root, answer["version"])
        assert (manifest.job_id, manifest.data.rows) == (f"mapped_into_one_path.train[{index}]/{run}/0", answer["rows"])
        assert manifest.task == TaskTry(dag_id="mapped_into_one_path", task_id="train", map_index=index, run_id=run, try_number=1)
