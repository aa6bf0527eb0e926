"""What the runtime's tests share: stores on disk and on a local S3 server; scripts in child processes; tables."""

from __future__ import annotations

import base64
import importlib
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pyarrow as pa
import pytest
from support import waiting
from support.stores import make_failure, make_fit_record, make_manifest, open_root
from support.workbench import EXAMPLES, SEED, RunPlan

from mlsql_runtime import codec
from mlsql_runtime.feed.decoding.vectors import from_serialized
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.plan import PythonEnv, Register, Train
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.current_job import current_job
from mlsql_runtime.script.process import LOG, ScriptOutcome, run_script
from mlsql_runtime.script.protocol import INPUT_VARIABLE, ScriptInput
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions
from mlsql_runtime.store.format_version import FORMAT_VERSION
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.manifest import DataFacts, FileEntry, FitRecord, Manifest, ScriptFacts
from mlsql_runtime.store.publish import claim_version

STARTED = datetime(2024, 5, 1, 12, 0, tzinfo=timezone.utc)
ENDED = STARTED + timedelta(seconds=1.5)


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """:func:`support.waiting.wait_until`."""
    return waiting.wait_until


@pytest.fixture
def marker() -> Iterator[str]:
    """A number that no other process has among its arguments; what still has it at the end is ended."""
    mark = f"98765.{uuid.uuid4().int % 10**12}"
    yield mark
    for process in _processes(mark):
        process.kill()


def _processes(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if mark in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


@pytest.fixture(scope="session")
def processes_with() -> Callable[[str], list[psutil.Process]]:
    """Every live process that has the marker as an argument."""
    return _processes


# -- stores


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    """A model path that does not exist yet, in each kind of storage."""
    with open_root(request.param, tmp_path, request) as place:
        yield place


@pytest.fixture
def local_root(tmp_path: Path) -> Location:
    """A model path on the disk that does not exist yet."""
    return Location.of(str(tmp_path / "models" / "digits"))


def _fit(index: int, score: float | None, status: str = "success") -> FitRecord:
    return make_fit_record(
        index,
        score,
        status=status,
        metrics={"loss": 0.25, "auc": None},
        message=None if status == "success" else "it ended with exit code 3",
        params={"alpha": "0.1"},
        started=STARTED,
        ended=ENDED,
    )


@pytest.fixture(scope="session")
def fit_record() -> Callable[..., FitRecord]:
    return _fit


def _manifest(
    version: int, fits: Iterable[FitRecord], files: tuple[FileEntry, ...] = (), greater_is_better: bool = True
) -> Manifest:
    return make_manifest(
        version,
        tuple(fits),
        job_id="job-1",
        created=STARTED,
        script=ScriptFacts(name="train.py", sha256="0" * 64),
        parameters={"pythonVer": "3"},
        greater_is_better=greater_is_better,
        data=DataFacts(rows=150, validate_rows=0, columns={"features": "vector"}, feature_column="features", feature_width=4),
        environment={"python": "3.11.0"},
        files=files,
        description="nightly, of all mail",
    )


@pytest.fixture(scope="session")
def manifest_of() -> Callable[..., Manifest]:
    """``manifest_of(version, fits, files=(), greater_is_better=True)``."""
    return _manifest


@pytest.fixture(scope="session")
def publish() -> Callable[..., Manifest]:
    """``publish(root, score=0.5)`` trains nothing and publishes the next version, with one model file per group."""

    def make(root: Location, *scores: float | None) -> Manifest:
        fits = [_fit(index, score) for index, score in enumerate(scores or (0.5,))]
        with claim_version(root, "job-1") as draft:
            for fit in fits:
                (draft.folder / f"model/{fit.alg_index}/model.bin").write(b"weights %d" % fit.alg_index)
            manifest = _manifest(draft.version, fits, draft.file_entries())
            draft.publish(manifest)
        return manifest

    return make


@pytest.fixture(scope="session")
def fail() -> Callable[[Location, str], int]:
    """Claim the next version and leave a failure record; answers its number."""

    def make(root: Location, message: str = "group 0 failed") -> int:
        with claim_version(root, "job-1") as draft:
            fits = (_fit(0, None, "failed"),)
            tails = {"0": ("Traceback", "ValueError")}
            draft.fail(make_failure(draft.version, message, job_id="job-1", created=STARTED, fits=fits, tails=tails))
        return draft.version

    return make


@pytest.fixture(scope="session")
def package() -> Callable[..., FunctionRecord]:
    """``package(root, "jack", version)`` writes a function package for a model version; nothing points to it yet.

    Keywords are fields of its record.
    """

    def make(root: Location, name: str, version: int, pickled: bytes = b"a pickle", **fields: Any) -> FunctionRecord:
        def record(number: int, pickle: FileEntry) -> FunctionRecord:
            made = FunctionRecord(
                format_version=FORMAT_VERSION,
                function=name,
                function_version=number,
                created=STARTED,
                job_id="job-2",
                contract="row",
                python="3.11.0",
                pickle=pickle,
                script=ScriptFacts(name="predict.py", sha256="1" * 64),
                model_path=root.uri,
                version=version,
                alg_index=0,
                score=0.5,
                feature_width=4,
                train_params=None,
                model_files=(),
                packages={},
            )
            return replace(made, **fields)

        return functions.write_package(root, name, pickled, record)

    return make


# -- scripts


@dataclass(frozen=True)
class Ran:
    """A script that has ended. ``lines`` are those shown while it ran; ``folder`` is its task folder."""

    outcome: ScriptOutcome
    lines: list[str]
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / LOG).read_text(encoding="utf-8")


def make_script_input(
    folder: Path,
    *,
    fit_param: Mapping[str, str] | None = None,
    system_param: Mapping[str, str] | None = None,
    role: str = "train",
    **fields: Any,
) -> ScriptInput:
    """Return the input of a script whose task folder is ``folder``; ``fields`` are other fields of it."""
    return ScriptInput(
        role=role,  # type: ignore[arg-type]
        fit_params=dict(fit_param or {}),
        system_params=dict(system_param or {"pythonVer": "3"}),
        internal_params={"tempModelLocalPath": str(folder / "model"), "resource": {}},
        **fields,
    )


@pytest.fixture
def import_mlsql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """``import_mlsql(data=…, fit_param=…)`` imports ``mlsql`` as a script of such a job does, but in this process.

    The job is also that of ``mlsql_model`` and ``python_fun`` until the test ends. Its task folder is ``tmp_path``.
    """
    before = _forget_mlsql()

    def import_in_job(**given: Any) -> Any:
        (tmp_path / "input.json").write_text(codec.dumps(make_script_input(tmp_path, **given)), encoding="utf-8")
        monkeypatch.setenv(INPUT_VARIABLE, str(tmp_path / "input.json"))
        current_job.cache_clear()
        _forget_mlsql()
        return importlib.import_module("mlsql")

    yield import_in_job
    current_job.cache_clear()
    _forget_mlsql()
    sys.modules.update(before)


def _forget_mlsql() -> dict[str, ModuleType]:
    """Take ``mlsql`` and its modules out of those that are imported, and return them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "mlsql"}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ran]:
    """``run(source, …)`` runs a script in a real child process to its end; ``fields`` are other fields of its input."""

    def run_source(
        source: str | bytes | ScriptBundle,
        *,
        entry: str = "train.py",
        files: Mapping[str, str] | None = None,
        role: str = "train",
        fit_param: Mapping[str, str] | None = None,
        system_param: Mapping[str, str] | None = None,
        data: TableFiles | None = None,
        validate: TableFiles | None = None,
        function_file: str | None = None,
        model_packages: Mapping[str, str] | None = None,
        python: PythonEnv | None = None,
        task_cpus: int = 1,
        on_line: Callable[[str], None] | None = None,
        **fields: Any,
    ) -> Ran:
        folder = tmp_path_factory.mktemp("task")
        if isinstance(source, ScriptBundle):
            bundle = source
        else:
            contents = {entry: source if isinstance(source, bytes) else source.encode()}
            bundle = ScriptBundle(entry, contents | {name: text.encode() for name, text in (files or {}).items()})
        script_input = make_script_input(
            folder,
            fit_param=fit_param,
            system_param=system_param,
            role=role,
            data=data,
            validate=validate,
            function_file=function_file,
            model_packages=dict(model_packages or {}),
            **fields,
        )
        lines: list[str] = []
        outcome = run_script(
            bundle,
            script_input,
            folder,
            python or PythonEnv(timeout=60),
            lambda event: (on_line or lines.append)(event.text),
            task_cpus,
        )
        return Ran(outcome, lines, folder)

    return run_source


# -- tables


def table_files(folder: Path, format: str, schema: pa.Schema, rows: int, options: Mapping[str, str] | None = None) -> TableFiles:
    encoded = base64.b64encode(schema.serialize().to_pybytes()).decode()
    return TableFiles(path=str(folder), format=format, options=dict(options or {}), rows=rows, schema=encoded)


@pytest.fixture(scope="session")
def describe_table() -> Callable[..., TableFiles]:
    """``describe_table(folder, format, schema, rows, options=None)``: the description of these files for a script."""
    return table_files


@pytest.fixture(scope="session")
def as_vectors() -> Callable[[Iterable[Any]], pa.StructArray]:
    """Lists become dense vectors, ``(size, {index: value})`` sparse ones, None stays null."""

    def make(rows: Iterable[Any]) -> pa.StructArray:
        def serialize(row: Any) -> Any:
            if row is None:
                return None
            if isinstance(row, tuple):
                size, entries = row
                return 0, size, sorted(entries), [float(entries[index]) for index in sorted(entries)]
            return 1, None, None, [float(value) for value in row]

        return from_serialized([serialize(row) for row in rows])

    return make


# -- trained models


@pytest.fixture(scope="session")
def bayes_model(tmp_path_factory: pytest.TempPathFactory, run_plan: RunPlan) -> Path:
    """A trained version 1, with two groups of scores 0.6 and 0.9; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("bayes")
    script = folder / "train.py"
    source = (EXAMPLES / "train_bayes.py").read_text()
    script.write_text(source + "\nprint('mlsql_validation_score:' + mlsql.fit_param['score'])\n")
    groups = ({"score": "0.6", "alpha": "5"}, {"score": "0.9", "alpha": "1"})
    train = Train(table="data", model_path=str(folder / "m"), script_path=str(script), fit_params=groups)
    run_plan(train).raise_for_error()
    return folder / "m"


@pytest.fixture
def model_path(bayes_model: Path, tmp_path: Path) -> str:
    """A copy of the trained version."""
    shutil.copytree(bayes_model, tmp_path / "m")
    return str(tmp_path / "m")


@pytest.fixture(scope="session")
def served(bayes_model: Path, run_plan: RunPlan, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy with the functions ``batch`` and ``row`` of group 1, for tests that leave it as it is."""
    path = tmp_path_factory.mktemp("served") / "m"
    shutil.copytree(bayes_model, path)
    for name, script_path in (("batch", EXAMPLES / "predict_bayes.py"), ("row", SEED / "predict.py")):
        run_plan(Register(model_path=str(path), function=name, script_path=str(script_path))).raise_for_error()
    return str(path)
