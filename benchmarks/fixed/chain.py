"""Train, register and predict 100 rows as the three tasks of a DAG do: three jobs, one after the other, on a local master."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from fixed.start import MASTER, sample, write_classes

EXAMPLES = Path(__file__).parents[2] / "example_dags" / "scripts"
TASKS = ("train", "register", "predict")
#: Properties of the jobs of each way. With the second, registering also starts Spark, as for any property that is not known.
WAYS: Mapping[str, Mapping[str, str]] = {
    "now": {},
    "each job with all of Spark": {"spark.mlsql.shareClasses": "false"},
}


def measure(rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return the seconds of each task, by way, in rounds after one of warm-up. Missing files of classes are written."""
    write_classes()
    taken: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        for way, conf in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                found = _run(Path(folder), conf)
            if number:
                taken[way].append(found)
    return taken


def _run(folder: Path, conf: Mapping[str, str]) -> dict[str, float]:
    """Run the three jobs, and return the seconds of each."""
    from mlsql_runtime.plan import FunctionRef, Load, Plan, Register, Save, Secrets, Select, Train
    from mlsql_runtime.submission.client_mode import ClientJob
    from mlsql_runtime.submission.spark_submit import Submission, build_command

    model = str(folder / "m")
    load = Load(table="data", format="libsvm", path=sample(), options={"numFeatures": "692"})
    jack = FunctionRef(name="jack", model_path=model, function="jack")
    plans = {
        "train": (load, Train(table="data", model_path=model, script_path=str(EXAMPLES / "train_bayes.py"))),
        "register": (Register(model_path=model, function="jack", script_path=str(EXAMPLES / "predict_bayes.py")),),
        "predict": (
            load,
            Select(table="out", sql="select label, jack(features) as prediction from data", functions=(jack,)),
            Save(table="out", format="parquet", path=str(folder / "out")),
        ),
    }

    def begin(submission: Submission) -> list[str]:
        return build_command(MASTER, submission)

    seconds = {}
    for task in TASKS:
        begun = time.perf_counter()
        plan = Plan(job_id=f"chain-{task}", statements=plans[task])
        ClientJob(plan, Secrets(), MASTER, {"spark.ui.port": "0", **conf}).run(begin, lambda line: None).raise_for_error()
        seconds[task] = time.perf_counter() - begun
    return seconds
