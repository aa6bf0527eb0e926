"""The main example on YARN in cluster mode, with everything on HDFS: worker and cluster share no disk."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from support.airflow import Airflow
from support.openlineage import check_event, find_task_events
from support.workbench import SAMPLE
from support.yarn import Applications

from mlsql_runtime.storage.location import Location

MAIN = "mlsql_train_register_predict"


def test_the_main_example_runs_on_yarn_and_hdfs(airflow: Airflow, yarn: Applications, tmp_path: Path) -> None:
    folder = Location.of(f"{yarn.yarn.hdfs.uri}/{uuid.uuid4().hex}")
    (folder / "data.txt").write(Path(SAMPLE).read_bytes())
    connection = yarn.yarn.connection(job_path=(folder / "jobs").uri)
    conf = {"data_path": (folder / "data.txt").uri, "model_path": (folder / "m").uri, "output_path": (folder / "out").uri}
    variables = {**yarn.environment, "AIRFLOW_CONN_SPARK_DEFAULT": connection}
    log, events = airflow.report(MAIN, conf, tmp_path / "events.jsonl", **variables)
    assert "DagRun failed" not in log, log[-5000:]
    values = airflow.xcoms(MAIN)
    assert (values["train"]["model_path"], values["train"]["version"]) == ((folder / "m").uri, 1)
    assert values["train"]["score"] >= 0.9
    assert values["wait_for_model"] == values["train"]
    assert values["register"]["function"] == "jack"
    parts = [name for name in (folder / "out").list_names() if name.endswith(".parquet")]
    tables = [pq.read_table(io.BytesIO((folder / "out" / name).read())) for name in parts]
    assert sum(table.num_rows for table in tables) == values["predict"]["rows"] == 100
    assert tables[0].column_names == ["label", "prediction"]
    assert len(yarn.submitted) == 3
    for application in yarn.submitted:
        assert f"Application {application} is SUCCEEDED" in log
        assert "Failed to add file" not in yarn.log(application)
    assert (folder / "jobs").list_names() == []
    _check_lineage(events, folder)
    folder.remove()


def _check_lineage(events: list[dict[str, Any]], folder: Location) -> None:
    """The data sets have the names that Spark's own integration gives them on HDFS."""
    for event in events:
        check_event(event)
    inputs, outputs = (
        {
            event["job"]["name"].rpartition(".")[2]: [(each["namespace"], each["name"]) for each in event.get(kind) or ()]
            for event in find_task_events(events)
        }
        for kind in ("inputs", "outputs")
    )
    namespace, path = folder.uri[: -len(folder.path)], folder.path
    data, model = (namespace, f"{path}/data.txt"), (namespace, f"{path}/m")
    assert inputs == {"train": [data], "wait_for_model": [], "register": [model], "predict": [model, data]}
    assert outputs == {"train": [model], "wait_for_model": [], "register": [], "predict": [(namespace, f"{path}/out")]}
