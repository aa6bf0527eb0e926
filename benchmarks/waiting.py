"""What a thousand deferred sensors cost a triggerer: ours, the same without sharing a listing, and Airflow's own FileTrigger.

``make bench`` runs it and writes ``benchmarks/results/waiting.md``. Each way has a process of its own with Airflow's
TriggerRunner in it, the part of a triggerer that runs triggers; only its supervisor, who would hand them over, is left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from measure import machine, table

RESULTS = Path(__file__).parent / "results" / "waiting.md"
TRIGGERS = 1000
VERSIONS = 500
INTERVAL = 10.0  # seconds
WARM_UP = INTERVAL + 3  # seconds from when all triggers run: by then each has had its first answer, and has logged it
GOAL = 5.0  # percent of a core
NO_MORE = 10**9  # a version number that never comes

if __name__ != "__main__":
    from airflow.triggers.base import BaseTrigger, TriggerEvent

    from mlsql_runtime.storage.location import Location
    from mlsql_runtime.store.version_condition import VersionCondition
    from mlsql_runtime.store.version_watch import VersionSearch, VersionWatch

    class Alone(BaseTrigger):
        """Wait for the same, each trigger by itself: one listing per trigger and interval, in a thread."""

        def __init__(self, *, model_path: str, poke_interval: float, job_id: str) -> None:
            super().__init__()
            self.model_path, self.poke_interval, self.job_id = model_path, poke_interval, job_id

        def serialize(self) -> tuple[str, dict[str, Any]]:
            arguments = {"model_path": self.model_path, "poke_interval": self.poke_interval, "job_id": self.job_id}
            return "waiting.Alone", arguments

        async def run(self) -> AsyncIterator[TriggerEvent]:
            watch = VersionWatch(Location.of(self.model_path))
            search = VersionSearch(VersionCondition(min_version=NO_MORE, job_id=self.job_id))

            def look() -> dict[str, Any]:
                watch.refresh()
                return search.answer(watch)

            while (answer := await asyncio.to_thread(look))["status"] == "waiting":
                await asyncio.sleep(self.poke_interval)
            yield TriggerEvent(answer)


def make_store(root: Path, versions: int) -> None:
    """Complete versions without models, and one whose training is under way."""
    from trained import manifest

    from mlsql_runtime import codec

    for number in range(1, versions + 1):
        (root / f"_model_{number}").mkdir(parents=True)
        (root / f"_model_{number}/manifest.json").write_text(codec.dumps(manifest(number)), encoding="utf-8")
    (root / f"_model_{versions + 1}").mkdir()
    (root / f"_model_{versions + 1}/claim.json").write_text("{}", encoding="utf-8")


def triggers(way: str, root: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Classes and arguments, as a triggerer gets them."""
    ours = "airflow_provider_mlsql.triggers.model.MLSQLModelTrigger"
    deadline = "2100-01-01T00:00:00+00:00"
    for number in range(0 if way == "idle" else TRIGGERS):
        if way == "shared":  # the next version, of this job
            conditions = {"min_version": NO_MORE, "job_id": f"job {number}"}
            yield ours, {"model_path": root, "poke_interval": INTERVAL, "deadline": deadline} | conditions
        elif way == "runs":  # the version of a run each; all of what is there has to be looked at
            yield ours, {"model_path": root, "poke_interval": INTERVAL, "deadline": deadline, "run_id": f"run {number}"}
        elif way == "alone":
            yield "waiting.Alone", {"model_path": root, "poke_interval": INTERVAL, "job_id": f"job {number}"}
        else:
            file = {"filepath": f"{root}/_model_{NO_MORE}/manifest.json", "poke_interval": INTERVAL}
            yield "airflow.providers.standard.triggers.file.FileTrigger", file


class Counted:
    """Calls, and the seconds they take."""

    def __init__(self) -> None:
        self.calls, self.seconds, self.longest = 0, 0.0, 0.0

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                took = time.perf_counter() - begun
                self.calls, self.seconds, self.longest = self.calls + 1, self.seconds + took, max(self.longest, took)

        return counted

    def reset(self) -> None:
        self.__init__()


@contextmanager
def counting(way: str) -> Iterator[tuple[Counted, Counted]]:
    """Count listings, and looks: a listing with the responses to all triggers that wait for it."""
    from airflow.providers.standard.triggers import file
    from fsspec.implementations.local import LocalFileSystem

    from airflow_provider_mlsql.triggers import polling
    from mlsql_runtime.store.version_watch import VersionWatch

    listings, looks = Counted(), Counted()
    if way == "file":
        file.glob = looks.around(listings.around(file.glob))
    else:
        LocalFileSystem.ls = listings.around(LocalFileSystem.ls)
        if way == "alone":
            VersionWatch.refresh = looks.around(VersionWatch.refresh)
        else:
            polling._look = looks.around(polling._look)
    yield listings, looks


async def measure(way: str, root: str, window: float) -> dict[str, Any]:
    """Run the triggers; what they cost once all of them wait."""
    from airflow.executors.workloads import RunTrigger
    from airflow.jobs.triggerer_job_runner import TriggerRunner, messages
    from airflow.models.trigger import Trigger

    class Runner(TriggerRunner):
        async def init_comms(self) -> None:
            self.comms_decoder = SimpleNamespace(_reader_task=asyncio.create_task(asyncio.sleep(3600)))

        async def asend(self, msg: Any) -> Any:
            assert not msg.failures, msg
            assert not msg.events, msg
            return messages.TriggerStateSync(to_create=[], to_cancel=set())

    with counting(way) as (listings, looks):
        runner = Runner()
        for number, (classpath, arguments) in enumerate(triggers(way, root)):
            kwargs = Trigger.encrypt_kwargs(arguments)
            runner.to_create.append(RunTrigger(id=number, classpath=classpath, encrypted_kwargs=kwargs))
        begun = time.perf_counter()
        running = asyncio.create_task(runner.arun())
        while runner.to_create:
            await asyncio.sleep(0.1)
        started = time.perf_counter() - begun
        await asyncio.sleep(WARM_UP)
        while way in ("shared", "runs") and looks.calls < 2:  # most have their first answer by the second look
            await asyncio.sleep(2)
        listings.reset()
        looks.reset()
        lags: list[float] = []
        begun, cpu = time.perf_counter(), time.process_time()
        while (now := time.perf_counter()) < begun + window:
            await asyncio.sleep(0.02)
            lags.append(time.perf_counter() - now - 0.02)
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        assert not running.done()
        lost = [details["name"] for details in runner.triggers.values() if details["task"].done()]
        assert not lost, lost
        runner.stop = True
        await running
    return {
        "start": started,
        "cpu": 100 * cpu / wall,
        "listings": listings.calls / (wall / INTERVAL),
        "looks": looks.calls,
        "look": looks.seconds / max(1, looks.calls),
        "lag": max(lags),
        "lag99": sorted(lags)[int(len(lags) * 0.99)],
    }


def in_a_process(folder: Path, way: str, root: Path, window: float) -> dict[str, Any]:
    """:func:`measure`, in a process of its own, with an Airflow of its own."""
    code = "import sys, json, asyncio, waiting as w; a = sys.argv; r = asyncio.run(w.measure(a[1], a[2], float(a[3])))\n"
    code += "open(a[4], 'w').write(json.dumps(r))"
    answer, log = folder / "answer.json", folder / "log"
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    env |= {"AIRFLOW_HOME": str(folder / "airflow"), "PYTHONPATH": str(Path(__file__).parent)}
    with log.open("wb") as stream:
        done = subprocess.run(
            [sys.executable, "-c", code, way, str(root), str(window), str(answer)],
            env=env,
            stdout=stream,
            stderr=stream,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{way} failed: " + log.read_text(errors="replace")[-5000:])
    measured: dict[str, Any] = json.loads(answer.read_text())
    return measured


def _line(name: str, took: dict[str, Any], *more: str) -> list[str]:
    look = f"{took['look'] * 1000:.2f}" if took["looks"] else ""
    lags = f"{took['lag99'] * 1000:.1f}, {took['lag'] * 1000:.0f}"
    return [name, f"{took['cpu']:.1f} %", f"{took['listings']:,.1f}", look, lags, *more]


def main(window: float = 20.0) -> None:
    """Measure, print, and write the results."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for versions in (10, 100, VERSIONS, 5000):
            make_store(folder / f"m{versions}", versions)
        store = folder / f"m{VERSIONS}"
        idle = in_a_process(folder, "idle", store, window / 4)
        ours, alone, file = (in_a_process(folder, way, store, window) for way in ("shared", "alone", "file"))
        growth = {n: in_a_process(folder, "runs", folder / f"m{n}", window) for n in (10, 100, VERSIONS, 5000)}
    peers = [
        _line("MLSQLModelTrigger", ours, ""),
        _line("the same, each with a listing of its own", alone, f"{alone['cpu'] / ours['cpu']:.1f}x"),
        _line("Airflow's FileTrigger, on a file that does not exist", file, f"{file['cpu'] / ours['cpu']:.1f}x"),
        _line("no triggers at all", idle, ""),
    ]
    header = ["CPU of one core", "listings per interval", "ms per look", "lag of the event loop, ms: 99th percentile, longest"]
    text = f"""# Waiting

{machine("apache-airflow", "apache-airflow-providers-standard", "fsspec")}; load average {os.getloadavg()[0]:.1f} at the end.
{TRIGGERS:,} triggers in Airflow's TriggerRunner, in one model path on a local disk with {VERSIONS} versions and a training under
way, poll interval {INTERVAL:g} s. A process for each line, {window:g} s after {WARM_UP:g} s of warm-up; CPU of the whole process.
A look is a listing with the answers to all who ask; for FileTrigger it is what it does on the event loop itself.
The goal is {GOAL:g} % of one core. `make bench` makes this page.

{table(["1,000 waits", *header, "CPU, to ours"], peers)}
The same where each waits for the version of a DAG run of its own, so that all records have been looked at, by number of versions:

{table(["versions", *header], [_line(f"{n:,}", took) for n, took in growth.items()])}"""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
