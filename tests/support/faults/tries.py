"""A try of one task: processes of their own, as workers of Airflow and its triggerer start them.

``task.json`` in the case's folder has the name of the operator and its arguments. Each process writes how it ended to a file
there: the XCom, or the class and the message of the error, or the trigger for which the task has left its worker.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import multiprocessing.util
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, NoReturn

TRIES = 4
TASK, TRIGGERER = "task", "triggerer"
_SLOW_IMPORTS = (  # which operators import while they execute: some seconds of CPU in each try
    "airflow.providers.apache.spark.hooks.spark_submit",
    "airflow.providers.cncf.kubernetes.kube_client",
    "airflow.sdk.execution_time.supervisor",
    "airflow_provider_mlsql.hooks.mlsql",
    "pandas",
    "pyarrow.parquet",
)
OPERATORS = {
    "train": "airflow_provider_mlsql.operators.train.MLSQLTrainOperator",
    "register": "airflow_provider_mlsql.operators.register.MLSQLRegisterOperator",
    "predict": "airflow_provider_mlsql.operators.predict.MLSQLPredictOperator",
    "script": "airflow_provider_mlsql.operators.script.MLSQLScriptOperator",
    "wait": "airflow_provider_mlsql.sensors.model.MLSQLModelSensor",
}


def fork_server() -> ForkServerContext:
    """Return the context of tries: they are forks of a server that has imported the operators once."""
    own, tempfile.tempdir = tempfile.tempdir, os.environ["PYTEST_DEBUG_TEMPROOT"]
    multiprocessing.util.get_temp_dir()  # in a folder that ends after this process; that of the run ends before
    tempfile.tempdir = own
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.tries", *(path.rpartition(".")[0] for path in OPERATORS.values()), *_SLOW_IMPORTS])
    return context


class Try(threading.Thread):
    """A try that runs. ``role`` and ``pid`` are its process at the moment, ``outcome`` how it has ended.

    The outcome is ``{"xcom": …}`` or ``{"error": …, "message": …}``; nothing when its process was killed.
    """

    def __init__(self, forks: ForkServerContext, folder: Path, number: int, environment: Mapping[str, str]) -> None:
        super().__init__(daemon=True)
        self.number, self.role, self.pid, self.outcome = number, TASK, 0, dict[str, Any]()
        self._forks, self._folder, self._environment = forks, folder, dict(environment)
        self._is_abandoned = False
        self.start()

    def run(self) -> None:
        ended = self._run(TASK, "execute", {})
        while "deferred" in ended and not self._is_abandoned:
            fired: dict[str, Any] = {}
            while not fired and not self._is_abandoned:  # one triggerer that is lost is followed by another
                fired = self._run(TRIGGERER, "trigger", ended["deferred"])
            ended = self._run(TASK, "complete", ended["deferred"] | fired)
        self.outcome = ended

    def abandon(self) -> None:
        """Kill its process, and start no other."""
        self._is_abandoned = True
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    def _run(self, role: str, what: str, given: dict[str, Any]) -> dict[str, Any]:
        end = self._folder / f"{what}-{self.number}.json"
        arguments = (self._folder, self.number, what, given, end, self._environment)
        process = self._forks.Process(target=_run, args=arguments)
        process.start()
        self.role, self.pid = role, process.pid or 0
        process.join()
        self.pid = 0
        found: dict[str, Any] = json.loads(end.read_text()) if end.exists() else {}
        return found


def _run(folder: Path, number: int, what: str, given: dict[str, Any], end: Path, environment: dict[str, str]) -> None:
    """Be a process of the try."""
    os.environ.clear()
    os.environ.update(environment)
    with (folder / "log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    ended = _trigger(given) if what == "trigger" else _execute(folder, number, given if what == "complete" else None)
    new = end.with_suffix(".new")
    new.write_text(json.dumps(ended))
    new.rename(end)
    sys.exit(0)


def _execute(folder: Path, number: int, given: dict[str, Any] | None) -> dict[str, Any]:
    """Execute the task, or go on with the event of its trigger. SIGTERM kills the task as Airflow does."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    task = json.loads((folder / "task.json").read_text())
    operator = _load(OPERATORS[task["operator"]])(task_id="task", **task["arguments"])

    def kill(signum: int, frame: FrameType | None) -> NoReturn:
        operator.on_kill()
        os._exit(128 + signum)

    signal.signal(signal.SIGTERM, kill)
    context = _context(folder, number)
    try:
        xcom = operator.execute(context) if given is None else getattr(operator, given["method"])(context, given["event"])
        return {"xcom": xcom}
    except TaskDeferred as deferral:
        path, arguments = deferral.trigger.serialize()
        return {"deferred": {"trigger": path, "arguments": arguments, "method": deferral.method_name}}
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}


def _trigger(given: dict[str, Any]) -> dict[str, Any]:
    async def fire() -> Any:
        event = await anext(_load(given["trigger"])(**given["arguments"]).run())
        return event.payload

    return {"event": asyncio.run(fire())}


def _load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _context(folder: Path, number: int) -> Any:
    from support.tries import State

    identity = {"dag_id": "faults", "task_id": "task", "run_id": folder.name, "map_index": -1}
    ti = SimpleNamespace(**identity, try_number=number, max_tries=TRIES - 1, xcom_push=lambda **_: None, stats_tags={})
    return {"ti": ti, "dag_run": None, "outlet_events": {}, "task_state_store": State(folder / "state.json")}
