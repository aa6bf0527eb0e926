"""Tries of one task outside a scheduler. Their state is in a file, so that a worker may be killed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import Asset
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from airflow_provider_mlsql.triggers.application import MLSQLApplicationTrigger
from mlsql_runtime.errors import JobFailed
from support.waiting import WAIT_SECONDS
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
    """A train task and its tries.

    ``arguments`` are those of the operator, without ``task_id``, and with the names of the assets in ``outlets``. ``events`` are
    the events of these.
    """

    folder: Path
    arguments: Mapping[str, Any]
    events: OutletEventAccessors = field(default_factory=OutletEventAccessors)

    @property
    def state(self) -> State:
        return State(self.folder / "state.json")

    def operator(self) -> MLSQLTrainOperator:
        given: dict[str, Any] = {"task_id": "train", "poll_interval": 0.2, **self.arguments}
        return MLSQLTrainOperator(**given | {"outlets": [Asset(name) for name in given.get("outlets", ())]})

    def context(self, try_number: int = 1, clears: int = 0) -> Any:
        """One retry is configured; each clear adds to ``max_tries``."""
        ti = SimpleNamespace(
            dag_id="dag",
            task_id="train",
            run_id="run",
            map_index=-1,
            try_number=try_number,
            max_tries=1 + 2 * clears,
            xcom_push=lambda *_, **__: None,
            stats_tags={},
        )
        return {"ti": ti, "dag_run": None, "outlet_events": self.events, "task_state_store": self.state}

    def execute(self, try_number: int = 1, clears: int = 0) -> dict[str, Any]:
        return self.operator().execute(self.context(try_number, clears))

    def defer(self, try_number: int = 1) -> MLSQLApplicationTrigger:
        """Execute the task, which is deferrable, and return its trigger, made again from the serialized arguments."""
        with pytest.raises(TaskDeferred) as left:
            self.execute(try_number)
        trigger = left.value.trigger
        assert isinstance(trigger, MLSQLApplicationTrigger)
        _, arguments = trigger.serialize()
        return MLSQLApplicationTrigger(**json.loads(json.dumps(arguments)))

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


class BackgroundTry:
    """A try of a task in a thread of this process."""

    def __init__(self, task: Task, try_number: int = 1) -> None:
        self.operator = task.operator()
        self._error: JobFailed | None = None
        self._value: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._execute, args=(task.context(try_number),), daemon=True)
        self._thread.start()

    def _execute(self, context: Any) -> None:
        try:
            self._value = self.operator.execute(context)
        except JobFailed as error:
            self._error = error

    def failure(self) -> str:
        """Wait for the end of the try, and return the message of its JobFailed."""
        self._thread.join(WAIT_SECONDS)
        assert self._error is not None
        return str(self._error)

    def value(self) -> dict[str, Any]:
        """Wait for the end of the try, and return its XCom."""
        self._thread.join(WAIT_SECONDS)
        assert self._value is not None, self._error
        return self._value


def training(conn_id: str, model: Path, script: str) -> dict[str, Any]:
    """Return the arguments of a train task."""
    return {
        "spark_conn_id": conn_id,
        "model_path": str(model),
        "python_script_path": script,
        "data": f"libsvm.`file://{SAMPLE}`",
    }


def leftovers(folder: Path) -> list[str]:
    """Return the paths that jobs have left below a folder."""
    return [str(path) for path in folder.rglob("*") if path.name.startswith("app-") or path.parent.name == "_staging"]
