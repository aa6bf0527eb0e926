"""Run cases, and look at what they leave."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support.faults import invariants, jobs, network, processes, tries
from support.faults.cases import Case
from support.faults.faults import CLOCK, ClockJump, Partition
from support.faults.journal import Record
from support.faults.places import LOCAL, YARN, Services
from support.faults.scene import Fault, Scene, matches
from support.faults.services import Service
from support.faults.storage_faults import FlippedByte, LostFile
from support.faults.storages import SMALL_DISK, LocalStorage, small_disk

TRY_SECONDS = 600.0  # after which a try hangs
PUBLISH_SECONDS = 8.0  # after a job has begun to wait, the version is published for which it waits
_SPARK_GIVES_UP = {
    "spark.network.timeout": "10s",
    "spark.network.timeoutInterval": "5s",
    "spark.executor.heartbeatInterval": "2s",
}


class Campaign:
    """Runs cases one after the other."""

    def __init__(self, services: Services, logs: Path | None = None) -> None:
        self.services, self.context = services, tries.fork_server()
        self._logs = logs
        self._model: Path | None = None

    def run(self, case: Case) -> Record:
        """Run a case to its end, and look at what it has left."""
        record, started = Record.of(case), time.monotonic()
        record.skipped = find_obstacle(case)
        if record.skipped is None:
            folder = self.services.folder / f"case-{case.seed}"
            with _folder(folder, case):
                try:
                    _Run(self, case, folder, record).run()
                except Exception as error:  # the other cases go on
                    record.violations.append(f"the campaign failed, {type(error).__name__}: {error}")
                    for process in processes.of_case(str(folder)):
                        process.kill()
                if record.violations and self._logs is not None and (folder / "log").exists():
                    self._logs.mkdir(parents=True, exist_ok=True)
                    shutil.copy(folder / "log", self._logs / f"{case.seed}.log")
        record.seconds = round(time.monotonic() - started, 1)
        return record

    def model(self) -> Path:
        """Return a model path with a version and a function, made by a job, once."""
        if self._model is None:
            case = Case(0, jobs.SCRIPT, LOCAL, "local", ())
            folder, record = self.services.folder / "first", Record.of(case)
            with _folder(folder, case):
                _Run(self, case, folder, record).run()
                if record.violations:
                    raise RuntimeError(
                        f"a job fails without a fault: {record.violations}\n{(folder / 'log').read_text()[-5000:]}"
                    )
                self._model = self.services.folder / "model"
                shutil.copytree(folder / "models/m", self._model)
        return self._model


@contextmanager
def open_campaign(folder: Path, logs: Path | None = None) -> Iterator[Campaign]:
    """Open a campaign, which keeps its services and cases below a folder.

    :param logs: a folder for the task logs of cases with violations.
    """
    with ExitStack() as stack:
        yield Campaign(Services(stack, folder), logs)


def find_obstacle(case: Case) -> str | None:
    """Return why a case cannot run on this machine."""
    if case.has(Partition) and not network.is_private():
        return "a partition takes root"
    if case.storage == SMALL_DISK and os.geteuid() != 0:
        return "a small disk takes root"
    if case.has(ClockJump) and _find_clock() is None:
        return "a clock that jumps takes libfaketime"
    return None


def _find_clock() -> Path | None:
    """Return the library by which the clock of a process is another one."""
    spec = importlib.util.find_spec("libfaketime")
    folders = [Path(each) for each in (spec.submodule_search_locations or ())] if spec is not None else []
    return next((file for folder in folders for file in folder.rglob("libfaketime.so.1")), None)


@contextmanager
def _folder(folder: Path, case: Case) -> Iterator[None]:
    """Make the folder of a case, and remove it after the block."""
    shutil.rmtree(folder, ignore_errors=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in ("tmp", "models", "copies"):
            (folder / name).mkdir(parents=True)
        if case.storage == SMALL_DISK:
            stack.enter_context(small_disk(folder / "models"))
        yield


class _Run:
    """One case under way."""

    def __init__(self, campaign: Campaign, case: Case, folder: Path, record: Record) -> None:
        services = campaign.services
        self._services, self._context, self._case, self._folder, self._record = services, campaign.context, case, folder, record
        self._place = services.place(case.place)
        self._storage = services.open_storage(case.storage, folder)
        self._inputs = self._storage if case.place == YARN else LocalStorage(folder)
        self._model = campaign.model() if case.job.needs_model else None
        self._broker = services.broker() if case.job.uses_kafka else None
        self._environment = self._build_environment()
        self._number, self._running = 0, list[tries.Try]()
        self._xcom: dict[str, Any] | None = None
        self._manifest: bytes | None = None  # of the version for which the job waits

    def run(self) -> None:
        self._place.heal()
        self._prepare()
        faults = list(self._case.faults)
        with self._watch_store():
            while self._number < tries.TRIES:
                if self._try(faults.pop(0) if faults else None) or self._record.violations:
                    break
            else:
                self._record.violations.append(f"no try of {tries.TRIES} has succeeded")
        self._record.violations += self._look()
        self._storage.clear()

    def _prepare(self) -> None:
        """Write the inputs, the model and the task."""
        job = self._case.job
        jobs.write_inputs(job, self._folder)
        if self._inputs is self._storage:
            self._inputs.put(self._folder / "data", "data")
        if self._model is not None:
            model = self._folder / "copies" / "model"
            shutil.copytree(self._model, model)
            for file in model.glob("_functions/*/*/function.json"):
                file.write_text(json.dumps(json.loads(file.read_text()) | {"model_path": self._storage.uri("m")}))
            if job is jobs.REGISTER:
                shutil.rmtree(model / "_functions")
            if job.waits:
                manifest = model / "_model_1" / "manifest.json"
                self._manifest = manifest.read_bytes()
                manifest.unlink()
            self._storage.put(model, "m")
            shutil.rmtree(model)
        (self._folder / "task.json").write_text(json.dumps({"operator": job.operator, "arguments": self._build_arguments()}))

    def _build_arguments(self) -> dict[str, Any]:
        job, place = self._case.job, self._case.place
        broker = None if self._broker is None else self._broker.broker.bootstrap
        data, output = self._inputs.uri("data"), self._inputs.uri("out")
        arguments = jobs.build_arguments(job, jobs.Inputs(self._folder, self._storage.uri("m"), data, output, broker))
        if job.deferrable:
            arguments["deferrable"] = True
        if job.operator == "wait":
            return arguments
        arguments["spark_conn_id"] = "faults"
        if self._case.has(Partition):
            arguments["conf"] = _SPARK_GIVES_UP
        if place == YARN:
            arguments |= {"poll_interval": 1.0, "job_path": self._storage.uri("jobs")}
        return arguments

    def _build_environment(self) -> dict[str, str]:
        """Return the variables of the tries."""
        environment = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1"} | dict(self._place.environment)
        options = re.sub(r" -Djava\.io\.tmpdir=\S*", "", environment["SPARK_SUBMIT_OPTS"])  # that of all tests
        environment |= {processes.CASE: str(self._folder), "TMPDIR": str(self._folder / "tmp"), "SPARK_SUBMIT_OPTS": options}
        environment.pop("PYTHONPATH", None)
        if self._case.storage == "s3":
            keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
            environment |= keys | {"AWS_ENDPOINT_URL": self._services.proxy("s3").url}
        if self._case.has(ClockJump):
            (self._folder / CLOCK).write_text("+0\n")
            environment |= {
                "LD_PRELOAD": str(_find_clock()),
                "FAKETIME_TIMESTAMP_FILE": str(self._folder / CLOCK),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DISABLE_SHM": "1",
            }
        return environment

    def _try(self, fault: Fault | None) -> bool:
        """Run a try to its end, with a fault; return whether the task has succeeded."""
        first = self._start()
        struck: str | None = None
        if self._manifest is not None:
            threading.Thread(target=self._publish_later, args=(first, self._manifest), daemon=True).start()
            self._manifest = None
        if fault is not None:
            struck = fault.strike(self._scene(first))
            self._record.struck.append(struck)
        ended = [self._finish(each) for each in self._running]
        self._running = []
        self._place.heal()
        self._record.tries += [each.get("error", "succeeded" if each else "killed") for each in ended]
        for each in ended:
            if struck is None and "error" in each:
                self._record.violations.append(f"failed without a fault: {each['error']}: {each['message']}")
            elif "error" in each and not matches(fault, each["message"]):
                self._record.violations.append(f"does not name the fault: {each['error']}: {each['message']}")
        self._xcom = next((each["xcom"] for each in reversed(ended) if "xcom" in each), None)
        return self._xcom is not None

    def _publish_later(self, first: tries.Try, manifest: bytes) -> None:
        """Publish the version some seconds after the job has begun to wait for it."""
        role = tries.TRIGGERER if self._case.job.deferrable else tries.TASK
        while first.is_alive() and not (first.pid and first.role == role):
            time.sleep(0.1)
        time.sleep(PUBLISH_SECONDS)
        self._storage.publish("m/_model_1/manifest.json", manifest)

    @contextmanager
    def _watch_store(self) -> Iterator[None]:
        """Look at a model path on this machine during the block, unless the fault is in its files."""
        if not isinstance(self._storage, LocalStorage) or self._case.has(FlippedByte):
            yield
            return
        with invariants.StoreWatch(self._storage.get("m")) as watch:
            yield
        self._record.violations += watch.violations

    def _scene(self, first: tries.Try) -> Scene:
        services: dict[str, Service] = dict(self._place.services)
        if self._broker is not None:
            services["broker"] = self._broker
        is_remote = self._case.storage in ("s3", "webhdfs")
        return Scene(
            folder=self._folder,
            first=first,
            second_try=self._start,
            storage=self._storage,
            inputs=self._inputs,
            services=services,
            proxy=self._services.proxy(self._case.storage) if is_remote else None,
            web_hdfs=f"http://127.0.0.1:{self._services.hdfs().hdfs.web_port}" if self._case.place == YARN else "",
        )

    def _start(self) -> tries.Try:
        self._number += 1
        started = tries.Try(self._context, self._folder, self._number, self._environment)
        self._running.append(started)
        return started

    def _finish(self, running: tries.Try) -> dict[str, Any]:
        running.join(TRY_SECONDS)
        if running.is_alive():
            live = [processes.command(each)[:80] for each in processes.of_case(str(self._folder))]
            self._record.violations.append(f"try {running.number} hangs: {live}")
            running.abandon()
            running.join()
        return running.outcome

    def _look(self) -> Iterator[str]:
        """Yield what is wrong now."""
        yield from invariants.check_processes(lambda: processes.of_case(str(self._folder)), self._place.end_seconds)
        store = self._storage.get("m")
        yield from invariants.check_store(store)
        if self._xcom is not None:
            output = self._inputs.get("out") if self._case.job.predicts else self._folder / "out"
            may_lack_file = any(isinstance(fault, LostFile) and fault.place == "of the input" for fault in self._case.faults)
            yield from jobs.check_end(self._case.job, store, output, self._xcom, may_lack_file=may_lack_file)
        for file in self._storage.list_files():
            if file.startswith("jobs/"):
                yield f"{file} is left"
        yield from invariants.check_left(self._folder / "tmp")
        yield from self._place.check_left()
        if self._broker is not None:
            yield from invariants.check_topics(self._broker.broker.bootstrap, jobs.topic_prefix(self._folder))


def set_import_path() -> None:
    """Let the server of the tries import what this process imports. Its tries take the variable away again."""
    root = Path(__file__).parents[3]
    given = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*([given] if given else []), str(root / "tests"), str(root / "scripts" / "jvm")])
