"""The documents of jobs and scripts: plans, secrets, results, events, the script's input, and files in a script's folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlsql_runtime import codec, errors
from mlsql_runtime.errors import DataError, OptionError, Origin, TrainingFailed
from mlsql_runtime.events import ApplicationStarted, LogLine, Message, Metrics, Progress, StatementStarted, encode_message
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.originals.table import RowPart, TableOriginals
from mlsql_runtime.feed.topic.table import SentPartition, TableTopic
from mlsql_runtime.plan import (
    Attempt,
    FileFeed,
    FunctionRef,
    KafkaFeed,
    Load,
    Plan,
    Predict,
    Preflight,
    PythonEnv,
    Register,
    Save,
    Secrets,
    Select,
    Show,
    Train,
    dump_plan,
    load_plan,
)
from mlsql_runtime.result import (
    Best,
    FitSummary,
    FunctionUse,
    HostProblem,
    HostReport,
    PreflightResult,
    RegisterResult,
    RunResult,
    SaveResult,
    SelectResult,
    ShowResult,
    TrainResult,
    script_to_xcom,
    to_xcom,
)
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.environments import read_completed_files
from mlsql_runtime.script.interpreter import read_probe
from mlsql_runtime.script.model_packages import find_model_packages
from mlsql_runtime.script.package_report import read_package_report
from mlsql_runtime.script.process import read_exception
from mlsql_runtime.script.protocol import INPUT_VARIABLE, Handover, ScriptInput, read_input
from mlsql_runtime.script.resources import read_shared_paths
from mlsql_runtime.script.supervisor import read_status
from mlsql_runtime.spark_errors import read_task_error
from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission.output import read_event
from mlsql_runtime.submission.run_folder import RunFolder, RunOwner
from support.fuzz.engine import Kind, Mutate, Target
from support.fuzz.mutations import mutate_json, mutate_json_lines
from support.fuzz.stores import SIGNATURE, TASK
from support.stores import T0

PYTHON = PythonEnv(version="3.11", flags=("-X", "dev"), envs={"A": "1"}, timeout=60.0, seed=7, requirements="numpy==2.0\n")
KAFKA = KafkaFeed(topic="t", settings={"bootstrap_servers": "b:9092"}, secrets="kafka", partitions=3, topic_configs={"x": "y"})
PLAN = Plan(
    job_id="dag/run/task",
    statements=(
        Load(table="data", format="csv", path="/d", options={"header": "true"}),
        Select(
            table="q", sql="select jack(x) from data", functions=(FunctionRef(name="jack", model_path="/m", function="jack"),)
        ),
        Train(
            table="data",
            model_path="/m",
            script_path="train.py",
            fit_params=({"alpha": "1", "resource.words": "/w"}, {"alpha": "2"}),
            feed=FileFeed(format="parquet", file_num=2, options={"a": "b"}),
            python=PYTHON,
            validate_fraction=0.3,
            keep_versions=3,
        ),
        Train(table="data", model_path="/m2", script_path="train.py", feed=KAFKA, validate_table="data"),
        Register(model_path="/m", function="jack", script_path="p.py", min_score=0.5, sample_table="data", author="ann"),
        Predict(table="data", model_path="/m", script_path="b.py", result="out", params={"a": "b"}, python=PYTHON),
        Save(table="out", format="parquet", path="/o", mode="overwrite", options={}, partition_by=("a",)),
        Show(table="out"),
        Preflight(),
    ),
    attempt=Attempt(earlier_since=T0, is_last=False),
    task=TASK,
    script_copies=(None, "/x"),
)
FITS = (FitSummary(alg_index=0, status="success", score=0.9, metrics={"auc": 0.9, "x": None}, seconds=1.5),)
STEPS = (
    TrainResult(model_path="/m", version=1, score=0.9, best=Best(alg_index=0, score=0.9), fits=FITS, rows=70),
    RegisterResult(
        function="jack",
        registered=True,
        reason="score",
        model_path="/m",
        version=1,
        alg_index=0,
        score=0.9,
        function_version=2,
    ),
    SaveResult(format="parquet", output="/o", rows=3),
    SelectResult(
        table="q",
        functions=(
            FunctionUse(name="j", model_path="/m", function="jack", function_version=1, version=1, alg_index=0, score=None),
        ),
    ),
    ShowResult(table="out", columns=("a", "b"), rows=((1, [1.5, None]), ("x", {"y": 1})), more=True),
    PreflightResult(
        hosts=(
            HostReport(
                host="h",
                executor="1",
                interpreter="/p",
                versions={"python": "3.11"},
                scratch="/tmp",
                free=1,
                problems=(HostProblem(kind="storage", message="h cannot write"),),
            ),
        ),
        silent=("h2",),
    ),
)
ERRORS = (
    TrainingFailed("2 of 3 failed", statement=1, version=3, tails={"1": ["last"]}),
    OptionError(name="a", got="1", expected="2", origin=Origin("a.mlsql", 3, 4)),
    DataError("no rows", statement=0),
)
RESULTS = (RunResult(job_id="j", steps=STEPS), *(RunResult.of_error("j", STEPS[:1], error) for error in ERRORS))
EVENTS = (
    ApplicationStarted(spark="4.2.0", master="local[*]", application="app-1", ui="http://h:4040", history=None),
    StatementStarted(number=1, total=3, title="train data"),
    LogLine("hello\nworld"),
    Progress(3.0, 10.0),
    Metrics(step=2, values={"loss": 0.5, "x": None}, text="step 2: loss=0.5"),
)
TABLE = TableFiles(path="/data", format="parquet", options={"a": "b"}, rows=7, schema="AAAA", json_path="/json")
TOPIC = TableTopic(
    topic="t",
    starts={"0": 0},
    ends={"0": 5},
    parts=(SentPartition(run="r", partition=0, attempt=1, records=1, rows=7),),
    rows=7,
    schema="AAAA",
    servers="b:9092",
    group="g_0",
    settings="/s",
)
ORIGINALS = TableOriginals(
    list_file="/g/data.files.json",
    copies="/g/data.parquet",
    part=RowPart(fraction=0.2, is_held_out=True),
    rows=7,
    schema="AAAA",
    json_path="/json",
)
INPUT = ScriptInput(
    role="train",
    fit_params={"alpha": "1"},
    system_params={"seed": "7"},
    internal_params={"tempModelLocalPath": "/m", "resource": {"words": "/w"}},
    data=TABLE,
    validate=TABLE,
    signature=SIGNATURE,
    columns=("x", "label"),
    model_path="/m",
    resources={"gpu": ("0", "1")},
)
Use = Callable[[Path], Any]


def _file(
    name: str, samples: Sequence[Any], use: Use, mutate: Mutate = mutate_json, is_named: bool = True
) -> Callable[[Path], Target]:
    """Return what makes the target for a file with one of the samples, which are bytes or what the codec encodes."""

    def make(folder: Path) -> Target:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)

        def read(case: bytes) -> Any:
            place.write_bytes(case)
            return use(place)

        good = [each if isinstance(each, bytes) else codec.dumps(each).encode() for each in samples]
        return Target(good, mutate, read, folder, where=(str(place),) if is_named else ())

    return make


def _plan(place: Path) -> bool:
    plan = load_plan(place.read_bytes(), str(place))
    assert load_plan(dump_plan(plan).encode()) == plan
    for statement in plan.statements:
        statement.outline.secret_values  # noqa: B018
        statement.with_author("ann")
    return True


def _result(place: Path) -> bool:
    result = RunFolder(Location.of(str(place.parent))).read_result()
    assert result is not None
    codec.dumps(result)
    json.dumps(script_to_xcom(result))
    for step in result.steps:
        json.dumps(to_xcom(step))
    if result.error is not None:
        error = errors.from_json(dict(result.error))
        assert isinstance(error.message, str)
        codec.dumps(errors.to_json(error))
        json.dumps(errors.to_json(error))
    return True


def _owner(place: Path) -> bool:
    (place.parent.parent / "neighbour").mkdir(exist_ok=True)  # so that the job's folder stays
    folder = RunFolder(Location.of(str(place.parent)))
    found = folder.read_owner()
    is_local = found is None or all(path.startswith("models") for path in found.staging_paths)
    folder.remove(with_staged=is_local)  # elsewhere it would look for what the job has staged there
    place.parent.mkdir()
    return found is not None


def _task_error(place: Path) -> bool:
    error = read_task_error(place.read_bytes().decode(errors="replace"))
    return error is not None and isinstance(json.dumps(errors.to_json(error)), str)


def _script_input(place: Path) -> bool:
    before = os.environ.get(INPUT_VARIABLE)
    os.environ[INPUT_VARIABLE] = str(place)
    try:
        found = read_input()
    finally:
        os.environ.pop(INPUT_VARIABLE)
        if before is not None:
            os.environ[INPUT_VARIABLE] = before
    assert found is not None
    json.dumps(found.params)
    codec.dumps(found)
    _ = found.seed
    return True


def _events(place: Path) -> bool:
    """Read the events of a job in cluster mode, as its hook does."""
    reader = RunFolder(Location.of(str(place.parent.parent))).read_events()
    found = [line for text in reader.read_lines() for line in read_event(text)]
    for line in found:
        line.text.encode(errors="replace")
    return any(line.event is not None for line in found)


def _status(place: Path) -> bool:
    status = read_status(place)
    return status is not None and f"{status.ended} {status.exit_code} {status.left}" != ""


def _exception(place: Path) -> bool:
    text = read_exception(place, ScriptBundle("train.py", {}))
    assert len(text) < 5000
    return text != ""


def _probe(place: Path) -> bool:
    found = read_probe(place.read_text(encoding="utf-8", errors="replace"))
    return found is not None and isinstance(found[0]["python"], str)


def _traceback(error: errors.MLSQLError) -> bytes:
    text = json.dumps(errors.to_json(error))
    return f"Traceback (most recent call last):\n  File x\nmlsql_runtime.spark_errors.TaskError: {text}\n\tat java".encode()


def _mutate_after(mark: bytes) -> Mutate:
    """Return a mutation of the JSON after a mark on a line, which keeps what is around it."""

    def mutate(chance: Any, samples: Sequence[bytes]) -> bytes:
        sample = chance.choice(samples)
        before, found, rest = sample.partition(mark)
        text, newline, after = rest.partition(b"\n")
        return before + found + mutate_json(chance, [text]) + newline + after

    return mutate


MESSAGES = b"\n".join(encode_message(Message(event=event, label="fit 0")).encode() for event in EVENTS) + b"\n"
PACKAGES = {"python": "3.11.7", "numpy": "2.0"}
KINDS = (
    Kind("plan", _file("plan.json", [PLAN, replace(PLAN, statements=PLAN.statements[:2])], _plan), 2),
    Kind(
        "secrets of a job",
        _file(
            "s.json", [Secrets(spark={"a": "b"}, kafka={"k": {"x": "y"}})], lambda p: codec.loads(Secrets, p.read_bytes(), str(p))
        ),
    ),
    Kind("result", _file("result.json", RESULTS, _result), 2),
    Kind(
        "owner of a run",
        _file(
            "job/run/job.json", [RunOwner(job_id="j", plan_digest="0" * 64, staging_paths=("models/a",))], _owner, is_named=False
        ),
    ),
    Kind("events of a job", _file("run/events/000001.jsonl", [MESSAGES], _events, mutate_json_lines, is_named=False), 2),
    Kind(
        "error of a Spark task",
        _file("trace", [_traceback(error) for error in ERRORS], _task_error, _mutate_after(b"TaskError: "), is_named=False),
    ),
    Kind(
        "input of a script",
        _file(
            "input.json",
            [INPUT, replace(INPUT, data=TOPIC, role="register"), replace(INPUT, data=ORIGINALS, validate=ORIGINALS)],
            _script_input,
        ),
    ),
    Kind(
        "what a function is",
        _file("f.json", [Handover(contract="batch", returns="double")], lambda p: codec.loads(Handover, p.read_bytes(), str(p))),
    ),
    Kind(
        "how a script ended",
        _file("status.json", [b'{"ended": "exited", "exit_code": 1, "left": [[12, "sleep 5"]]}'], _status, is_named=False),
    ),
    Kind(
        "exception of a script",
        _file("e.json", [b'{"text": "KeyError: 1", "place": "train.py:3"}'], _exception, is_named=False),
    ),
    Kind(
        "packages of a script",
        _file("p.json", [json.dumps(PACKAGES).encode()], lambda p: bool(read_package_report(p)), is_named=False),
    ),
    Kind(
        "packages of a model",
        _file(
            "manifest.json",
            [json.dumps({"fits": [{"alg_index": 0, "packages": PACKAGES}]}).encode()],
            lambda p: bool(find_model_packages(str(p.parent / "model" / "0"))),
            is_named=False,
        ),
    ),
    Kind(
        "files of an environment",
        _file("complete.json", [b'{"files": 0, "packages": []}'], lambda p: read_completed_files(p) is not None, is_named=False),
    ),
    Kind(
        "shared resources",
        _file("paths.json", [b'{"words": "/w"}'], lambda p: read_shared_paths(p) is not None, is_named=False),
    ),
    Kind(
        "answer of an interpreter",
        _file("o", [b'{"found": {"python": "3.11.7", "numpy": "2"}, "missing": ["x"]}'], _probe, is_named=False),
    ),
)
