"""Tries of one task outside a scheduler. Their state is in a file, so that a worker may be killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from support.workbench import SAMPLE

SAVE = "import mlsql_model\nmlsql_model.sk_save_model(1)\nprint('mlsql_validation_score:1')\n"  # a quick training
_WORKER = """
import json, sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from support.tries import Task
task = Task(Path({folder!r}), json.loads({arguments!r}))
print(json.dumps(task.execute(try_number={try_number})))
"""


@dataclass(frozen=True)
class State:
    """Airflow's state store of one task instance, in a file."""

    file: Path

    def get(self, key: str, default: Any = None) -> Any:
        return self.all().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps({**self.all(), key: value}))
        new.rename(self.file)

    def all(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}
        return found


@dataclass(frozen=True)
class Task:
    """A train task and its tries. ``arguments`` are those of the operator, without ``task_id``."""

    folder: Path
    arguments: Mapping[str, Any]
    has_state: bool = True

    @property
    def state(self) -> State:
        return State(self.folder / "state.json")

    def operator(self) -> MLSQLTrainOperator:
        given: dict[str, Any] = {"task_id": "train", "poll_interval": 0.2, **self.arguments}
        return MLSQLTrainOperator(**given)

    def context(self, try_number: int = 1, clears: int = 0) -> Any:
        """One retry is configured; each clear adds to ``max_tries``."""
        ti = SimpleNamespace(
            dag_id="dag",
            task_id="train",
            run_id="run",
            map_index=-1,
            try_number=try_number,
            max_tries=1 + 2 * clears,
            xcom_push=lambda **_: None,
            stats_tags={},
        )
        return {"ti": ti, "dag_run": None, "outlet_events": {}} | ({"task_state_store": self.state} if self.has_state else {})

    def execute(self, try_number: int = 1, clears: int = 0) -> dict[str, Any]:
        return self.operator().execute(self.context(try_number, clears))

    @contextmanager
    def worker(self, try_number: int = 1) -> Iterator[subprocess.Popen[str]]:
        """Start a process that executes the task, and kill it after the block."""
        source = _WORKER.format(
            tests=str(Path(__file__).parents[1]),
            folder=str(self.folder),
            arguments=json.dumps(dict(self.arguments)),
            try_number=try_number,
        )
        with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()


def training(conn_id: str, model: Path, script: str) -> dict[str, Any]:
    """Return the arguments of a train task."""
    return {
        "spark_conn_id": conn_id,
        "model_path": str(model),
        "python_script_path": script,
        "data": f"libsvm.`{SAMPLE}`",
    }


def leftovers(folder: Path) -> list[str]:
    """Return the paths that jobs have left below a folder."""
    return [str(path) for path in folder.rglob("*") if path.name.startswith("app-") or path.parent.name == "_staging"]
