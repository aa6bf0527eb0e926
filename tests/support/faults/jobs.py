"""The jobs: each a real task on a small table, and what must be true once it has succeeded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from support.faults import invariants

ROWS = 400
_PARTS = (slice(0, ROWS // 2), slice(ROWS // 2, ROWS))  # of the table, a file each
ALPHAS = (0.25, 0.75)  # of the two groups; the model is this number, and its score, too
FUNCTION_NAME = "jack"
_TRAIN = """
import subprocess, time
import mlsql, mlsql_model
helper = subprocess.Popen(["sleep", "900"])  # which somebody else has to end if this process is killed
ids = []
for frame in mlsql.read_frames(max_records=50):
    ids += frame["id"].tolist()
    time.sleep(0.1)
mlsql.report(rows=len(ids), sum=sum(ids), different=len(set(ids)))
mlsql_model.sk_save_model(float(mlsql.fit_param["alpha"]))
print("mlsql_validation_score:" + mlsql.fit_param["alpha"])
helper.terminate()
helper.wait()
"""
_FUNCTION = """
import time
import python_fun

def predict(X, model):
    time.sleep(0.2)
    return X[:, 0] * model

python_fun.batch_udf(predict, returns="double")
"""
_BATCH = """
import json, time
import mlsql, mlsql_model
places = mlsql.internal_system_param
model = mlsql_model.load(places["tempModelLocalPath"])
with open(places["tempDataLocalPath"]) as data, open(places["tempOutputLocalPath"], "w") as output:
    for line in data:
        row = json.loads(line)
        output.write(json.dumps({"id": row["id"], "prediction": row["id"] * model}) + "\\n")
        time.sleep(0.002)
"""
_SCRIPTS = {"train": _TRAIN, "function": _FUNCTION, "batch": _BATCH}
_SCRIPT = """
load parquet.`{data}` as rows;
train rows as PythonAlg.`{model}` where pythonScriptPath="{folder}/train.py" and enableDataLocal="true" and featureCols="id,x"
and failOn="any" and fitParam.0.alpha="0.25" and fitParam.1.alpha="0.75";
register PythonAlg.`{model}` as {function} where pythonScriptPath="{folder}/function.py";
select id, {function}(id, x) as prediction from rows as out;
save overwrite out as parquet.`{output}`;
"""


@dataclass(frozen=True)
class Job:
    """A kind of task.

    :param needs_model: it begins with a version and a function in the model path.
    :param stages_with_spark: Spark itself writes below the model path; it would need jars of its own for ``s3://``.
    :param waits: for a version that is published a few seconds after the task has begun.
    :param deferrable: it leaves the worker, and waits in the triggerer.
    :param scripts: the names of the scripts that it runs.
    """

    name: str
    operator: str
    needs_model: bool = False
    uses_kafka: bool = False
    stages_with_spark: bool = True
    waits: bool = False
    deferrable: bool = False
    scripts: tuple[str, ...] = ()

    @property
    def reads_table(self) -> bool:
        return self.operator in ("train", "predict", "script")

    @property
    def trains(self) -> bool:
        return self.operator in ("train", "script")

    @property
    def predicts(self) -> bool:
        return self.operator in ("predict", "script")


TRAIN = Job("train through files", "train", scripts=("train",))
KAFKA = Job("train through Kafka", "train", uses_kafka=True, stages_with_spark=False, scripts=("train",))
REGISTER = Job("register", "register", needs_model=True, stages_with_spark=False, scripts=("function",))
SELECT = Job("predict in SQL", "predict", needs_model=True, stages_with_spark=False)
BATCH = Job("predict with a batch script", "predict", needs_model=True, scripts=("batch",))
SCRIPT = Job("train, register and predict", "script", scripts=("train", "function"))
DEFERRED = Job("train through files, deferred", "train", deferrable=True, scripts=("train",))
SENSOR = Job("wait for a version", "wait", needs_model=True, stages_with_spark=False, waits=True)
TRIGGER = Job("wait for a version, deferred", "wait", needs_model=True, stages_with_spark=False, waits=True, deferrable=True)
JOBS = {each.name: each for each in (TRAIN, KAFKA, REGISTER, SELECT, BATCH, SCRIPT, DEFERRED, SENSOR, TRIGGER)}


def write_inputs(job: Job, folder: Path) -> None:
    """Write the scripts of a case, and its table into ``data``."""
    (folder / "data").mkdir()
    for number, part in enumerate(_PARTS):
        ids = list(range(ROWS)[part])
        pq.write_table(pa.table({"id": ids, "x": [2.0 * id for id in ids]}), folder / "data" / f"part-{number}.parquet")
    for name in job.scripts:
        (folder / f"{name}.py").write_text(_SCRIPTS[name])


@dataclass(frozen=True)
class Inputs:
    """Where a case has its things.

    :param folder: of its scripts, on the worker.
    :param model, data, output: paths or URIs.
    """

    folder: Path
    model: str
    data: str
    output: str
    broker: str | None


def build_arguments(job: Job, inputs: Inputs) -> dict[str, Any]:
    """Return the operator's arguments, without those that depend on the place."""
    data = {"format": "parquet", "path": inputs.data}
    output = {"format": "parquet", "path": inputs.output}
    model, scripts = {"model_path": inputs.model}, {name: str(inputs.folder / f"{name}.py") for name in _SCRIPTS}
    if job.operator == "wait":
        return model | {"poke_interval": 0.5, "timeout": 600, "min_version": 1}
    if job.operator == "train":
        fits = [{"alpha": alpha} for alpha in ALPHAS]
        groups = {"fit_params": fits, "fail_on": "any", "python_script_path": scripts["train"]}
        train = model | groups | {"data": data, "feature_columns": ["id", "x"]}
        if not job.uses_kafka:
            return train
        settings = {"bootstrap.servers": inputs.broker, "delivery.timeout.ms": 90_000}
        topic = {"enable_data_local": False, "kafka_conn_id": None, "kafka_topic": topic_prefix(inputs.folder)}
        return train | topic | {"kafka_config": settings}
    if job.operator == "register":
        return model | {"function_name": FUNCTION_NAME, "python_script_path": scripts["function"]}
    if job is SELECT:
        sql = f"select id, {FUNCTION_NAME}(id, x) as prediction from data"
        return {"data": data, "output": output, "sql": sql, "functions": {FUNCTION_NAME: inputs.model}}
    if job is BATCH:
        return model | {"data": data, "output": output, "python_script_path": scripts["batch"]}
    places = {"data": inputs.data, "model": inputs.model, "folder": inputs.folder, "output": inputs.output}
    return {"script": _SCRIPT.format(function=FUNCTION_NAME, **places)}


def topic_prefix(folder: Path) -> str:
    """Return what the names of the case's topics and groups begin with."""
    return f"faults-{folder.name}-rows"


def check_end(job: Job, store: Path, output: Path, xcom: dict[str, Any], *, may_lack_file: bool) -> Iterator[str]:
    """Yield what is wrong after the task has succeeded.

    :param store: the files of the model path.
    :param output: the written predictions.
    :param may_lack_file: whether a file of the table had vanished for a while: a table without it was a table, too.
    """
    tables = [range(ROWS), *([range(ROWS)[part] for part in _PARTS] if may_lack_file else [])]
    manifests, versions = invariants.read_manifests(store), int(job.needs_model)
    if len(manifests) != versions + job.trains:
        yield f"there are {len(manifests)} complete versions, and there were {versions} before"
    if job.trains:
        yield from invariants.check_rows(store, *tables)
    if job.operator in ("train", "wait") and (xcom["version"] not in manifests or xcom["score"] != max(ALPHAS)):
        yield f"the XCom is {xcom}, and the complete versions are {sorted(manifests)}"
    if job.operator in ("register", "script") and not (store / "_functions" / FUNCTION_NAME / "current.json").exists():
        yield "the function has no pointer"
    if job.predicts:
        yield from invariants.check_predictions(output, max(ALPHAS), *tables)
