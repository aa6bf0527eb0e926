"""Airflow's command line in a process that has imported Airflow already, and forks for each command.

Importing Airflow takes longer than most commands. Airflow's own scheduler starts tasks in the same way. Requests and responses
are lines of JSON, on standard input and output: ``{"start": …}`` returns the process id of a command, ``{"poll": …}`` its exit
code, or null while it runs.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

_COMMANDS = ("api_server", "dag", "dag_processor", "db", "scheduler", "triggerer")
_IMPORTED = (
    *("airflow.__main__", "airflow.api_fastapi.app", "airflow.jobs.triggerer_job_runner"),
    "airflow.sdk.execution_time.task_runner",
    *(f"airflow.cli.commands.{command}_command" for command in _COMMANDS),
    *(f"airflow_provider_mlsql.operators.{name}" for name in ("predict", "register", "script", "train")),  # of the DAG files
    *("airflow_provider_mlsql.hooks.kafka", "airflow_provider_mlsql.sensors.model", "airflow_provider_mlsql.triggers.model"),
)


class AirflowProcess:
    """The process, with an environment of its own.

    :param environment: the environment of the process, in which other programs find its commands.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], output: Path, errors: Path) -> int:
        """Start ``airflow`` with these arguments, and return the id of its process."""
        files = {"output": str(output), "errors": str(errors)}
        pid: int = self._ask({"start": [*arguments], "environment": dict(environment)} | files)
        return pid

    def wait(self, pid: int, seconds: float = 3600) -> int | None:
        """Return the exit code of a command, negative for a signal; None if it has not ended in time."""
        deadline = time.monotonic() + seconds
        while True:  # each response comes at once: a test that is ended while it waits leaves none for the next request
            code: int | None = self._ask({"poll": pid})
            if code is not None or time.monotonic() > deadline:
                return code
            time.sleep(0.05)

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. Its output is kept in files in ``folder`` meanwhile."""
        output, errors = folder / "command.out", folder / "command.err"
        for file in (output, errors):
            file.write_bytes(b"")
        code = self.wait(self.start(arguments, environment, output, errors))
        assert code is not None
        texts = (file.read_text(encoding="utf-8", errors="replace") for file in (output, errors))
        return subprocess.CompletedProcess(arguments, code, *texts)

    @contextmanager
    def running(self, parts: Sequence[Sequence[str]], environment: Mapping[str, str], folder: Path) -> Iterator[None]:
        """Run commands that do not end by themselves, such as ``["triggerer"]``, and end them after the block.

        Each appends its output to a file in ``folder``, such as ``triggerer.log``.
        """
        logs = [folder / f"{part[0]}.log" for part in parts]
        started = [self.start(part, environment, log, log) for part, log in zip(parts, logs, strict=True)]
        try:
            yield
        finally:
            for pid in started:
                os.kill(pid, signal.SIGTERM)
            for pid in started:
                if self.wait(pid, 60) is None:
                    os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process, not its commands."""
        self._process.communicate()

    def _ask(self, request: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        response = self._process.stdout.readline()
        assert response, "the process that imports Airflow has ended; its errors are among those of the tests"
        return json.loads(response)


def serve() -> None:
    """Answer requests until standard input ends."""
    responses = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Airflow prints while it is imported is not a response
    _import_airflow()
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            response = _poll(**request)
        else:
            response = os.fork()
            if response == 0:
                responses.close()
                _run(**request)
        print(json.dumps(response), file=responses, flush=True)


def _import_airflow() -> None:
    for module in _IMPORTED:
        importlib.import_module(module)
    from airflow.providers_manager import ProvidersManager
    from sqlalchemy.orm import configure_mappers

    ProvidersManager().initialize_providers_configuration()
    configure_mappers()
    asyncio.run(_build_routes())
    gc.freeze()  # so that commands do not copy what is here when they collect garbage


async def _build_routes() -> None:
    """Build the API of `airflow dags test` and the triggerer: it makes its routes for the first request, for several seconds."""
    from airflow.jobs import triggerer_job_runner
    from airflow.sdk.execution_time.supervisor import in_process_api_server
    from httpx import AsyncClient

    triggerer_job_runner.in_process_api_server = in_process_api_server  # else the triggerer makes another one
    async with AsyncClient(transport=in_process_api_server().atransport, base_url="http://airflow") as client:
        await client.get("/")


def _run(start: list[str], environment: dict[str, str], output: str, errors: str) -> NoReturn:
    for file, descriptor in ((os.devnull, 0), (output, 1), (errors, 2)):
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    from airflow import settings
    from airflow.__main__ import main

    settings.configure_vars()  # from this environment
    sys.argv = [str(Path(sys.executable).with_name("airflow")), *start]
    sys.exit(main())


def _poll(poll: int) -> int | None:
    ended, status = os.waitpid(poll, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    sys.path[0] = str(Path(sys.executable).parent)  # as of the program, instead of this folder with its airflow.py
    serve()
