"""Real Spark applications through the hook: failures, secrets, bad input before Spark starts, a task that is killed.

test_kafka_training has what ``on_kill`` and a driver's death leave, test_cluster has the results of a plan.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.stores import latest_version
from support.tries import Task
from support.waiting import wait_until
from support.workbench import DATA, EXAMPLES, SAMPLE, Script, processes_with

from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from mlsql_runtime.errors import InputError, JobFailed, MLSQLError, TrainingFailed
from mlsql_runtime.plan import FunctionRef, Load, Plan, Predict, PythonEnv, Register, Save, Select, Statement, Train, dump_plan
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_manifest

SAVE = "import mlsql_model\nmlsql_model.sk_save_model(1)\nprint('mlsql_validation_score:1')"


def plan(*statements: Statement) -> Plan:
    return Plan(job_id="test-hook", statements=statements)


@pytest.mark.usefixtures("starts_jvm")
def test_a_failure_comes_back_as_its_class_and_secrets_are_on_no_command_line(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are Airflow's settings in the environment of scripts. What was done before the failure stays."""
    monkeypatch.setenv("AIRFLOW_CONN_PRIVATE", "postgres://user:hidden-1@host/db")
    source = f"""
import glob, os
seen = [name for name in os.environ if "AIRFLOW" in name or "SECRET" in name]
commands = []
for file in glob.glob("/proc/[0-9]*/cmdline"):
    try:
        commands.append(open(file, errors="replace").read())
    except OSError:  # it has ended
        pass
if seen or any("hidden-2" in command for command in commands):
    raise SystemExit(f"found {{seen}} or a secret in a command line")
{SAVE}"""
    model, other = tmp_path / "m", tmp_path / "other"
    train = Train(table="data", model_path=str(model), script_path=script(source), fit_params=({}, {}))
    fail = Train(table="data", model_path=str(other), script_path=script("raise ValueError('no luck')", "failing.py"))
    hook = MLSQLHook(conf={"spark.hadoop.fs.s3a.secret.key": "hidden-2"})
    check = Select(table="conf", sql="set spark.hadoop.fs.s3a.secret.key")
    save = Save(table="conf", format="json", path=str(tmp_path / "conf"))
    with pytest.raises(TrainingFailed, match=r"group 0 \(failed\): it ended with exit code 1: ValueError: no luck") as caught:
        hook.run(plan(DATA, check, save, train, fail))
    assert caught.value.facts["version"] == 1
    assert latest_version(Location.of(str(other))) is None
    trained = read_manifest(Location.of(str(model)))
    assert (trained.version, trained.best.score, [fit.status for fit in trained.fits]) == (1, 1.0, ["success", "success"])
    (written,) = (tmp_path / "conf").glob("part-*.json")
    assert "hidden-2" in written.read_text() or "redacted" in written.read_text()  # it did reach Spark
    for file in (path for root in (model, other) for path in root.rglob("*") if path.is_file()):
        assert b"hidden" not in file.read_bytes()


@pytest.mark.usefixtures("starts_jvm")
def test_a_killed_airflow_task_ends_its_job(tmp_path: Path, script: Script) -> None:
    number = f"{time.monotonic_ns()}"
    source = f"import subprocess\nsubprocess.run(['sleep', '{number}'])\n{SAVE}"
    train = Train(table="data", model_path=str(tmp_path / "m"), script_path=script(source))
    (tmp_path / "plan.json").write_text(dump_plan(plan(DATA, train)))
    task = (
        "from airflow_provider_mlsql.hooks.mlsql import MLSQLHook\nfrom mlsql_runtime.plan import load_plan\n"
        f"MLSQLHook().run(load_plan(open({str(tmp_path / 'plan.json')!r}).read()))"
    )
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", task], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        wait_until(lambda: processes_with(number), seconds=120)
        job = psutil.Process(worker.pid).children(recursive=True)
        worker.kill()
    assert len(job) >= 4
    wait_until(lambda: not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in job))
    assert processes_with(number) == []
    assert latest_version(Location.of(str(tmp_path / "m"))) is None
    assert not (tmp_path / "m").exists()  # what was staged is gone, too
    assert list(tmp_path.glob("mlsql-*")) == []  # and the job's files


def test_a_job_cancelled_before_spark_starts_does_not_start(tmp_path: Path) -> None:
    hook = MLSQLHook()
    hook.on_kill()
    with pytest.raises(JobFailed, match="cancelled before Spark started"):
        hook.run(plan(DATA, Save(table="data", format="json", path=str(tmp_path / "out"))))


def test_a_task_that_is_killed_while_its_job_is_prepared_starts_none(tmp_path: Path) -> None:
    """Airflow's handler of SIGTERM calls on_kill, and then the task goes on."""
    model = tmp_path / "m"
    arguments = {"model_path": str(model), "data": f"libsvm.`{SAMPLE}`", "python_script_path": str(TRAIN)}
    task = Task(tmp_path, arguments)
    operator = task.operator()
    operator.on_kill()
    with pytest.raises(JobFailed, match="cancelled before Spark started"):
        operator.execute(task.context())
    assert not model.exists()


TRAIN = EXAMPLES / "train_bayes.py"
PREDICT = EXAMPLES / "predict_bayes.py"


def bad(statement: type[Statement], **arguments: object) -> Callable[[Path], tuple[Statement, ...]]:
    """Statements with one thing wrong; ``{tmp}`` in a text is the test's folder."""
    usual: dict[type, dict[str, object]] = {
        Train: {"table": "data", "model_path": "{tmp}/m", "script_path": str(TRAIN)},
        Register: {"model_path": "{tmp}/m", "function": "jack", "script_path": str(PREDICT)},
        Load: {"table": "other", "format": "json"},
        Predict: {"table": "data", "model_path": "{tmp}/m", "script_path": str(TRAIN), "result": "out"},
        Select: {"table": "out", "sql": "select 1"},
        Save: {"table": "data", "format": "json", "path": "{tmp}/out"},
    }

    def make(tmp: Path) -> tuple[Statement, ...]:
        given = {**usual[statement], **arguments}
        filled = {key: value.replace("{tmp}", str(tmp)) if isinstance(value, str) else value for key, value in given.items()}
        return DATA, statement(**filled)  # type: ignore[return-value]

    return make


@pytest.mark.parametrize(
    ("make", "kind", "part"),
    [
        (bad(Train, script_path="{tmp}/none.py"), "ScriptNotFound", "there is no script at {tmp}/none.py"),
        (bad(Train, script_path="{tmp}"), "ScriptNotFound", "has no train.py"),
        (bad(Train, script_path=SAMPLE), "InputError", "is not a .py file"),
        (bad(Train, script_path="{tmp}/old.py"), "InputError", "{tmp}/old.py:1: Missing parentheses"),
        (bad(Train, model_path="{tmp}/old.py"), "InputError", "the model path {tmp}/old.py is a file"),
        (bad(Train, model_path="nope://x/m"), "InputError", "nope://x/m: models cannot be kept in nope://"),
        (bad(Train, table="dato"), "InputError", "there is no table 'dato'; tables before it are data"),
        (bad(Train, validate_table="valid"), "InputError", "there is no table 'valid'"),
        (bad(Train, python=PythonEnv(path="/no/python")), "InterpreterError", "there is no Python interpreter /no/python"),
        (bad(Train, python=PythonEnv(path="/bin/ls")), "InterpreterError", "does not run as a Python 3 interpreter"),
        (bad(Train, python=PythonEnv(version="3.9.1")), "PythonVersionError", "pythonVer asks for Python 3.9.1, but"),
        (bad(Load, path="/no/such/data.json"), "InputError", "there is nothing at /no/such/data.json"),
        (bad(Register), "VersionNotFound", "{tmp}/m holds no complete model version; no training has published one"),
        (bad(Register, model_version=7), "VersionNotFound", "holds no complete version 7"),
        (bad(Predict), "VersionNotFound", "holds no complete model version"),
        (
            bad(Select, functions=(FunctionRef(name="jack", model_path="/no/model", function="jack"),)),
            "VersionNotFound",
            "/no/model holds no function 'jack'; registered there: none",
        ),
        (bad(Save, table="predictions"), "InputError", "there is no table 'predictions'"),
    ],
)
def test_bad_input_is_an_error_before_spark_starts(
    make: Callable[[Path], tuple[Statement, ...]], kind: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.py").write_text("print 'Python 2'\n")
    monkeypatch.setenv("SPARK_HOME", "/no/spark")  # starting Spark would be another error
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MLSQLError) as caught:
        MLSQLHook().run(plan(*make(tmp_path)))
    assert type(caught.value).__name__ == kind
    assert part.replace("{tmp}", str(tmp_path)) in caught.value.message
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_java_and_a_wrong_cluster_mode_are_errors_before_spark_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    far = '{"conn_type": "spark", "host": "spark://host:7077", "extra": {"deploy-mode": "cluster"}}'
    monkeypatch.setenv("AIRFLOW_CONN_FAR", far)
    with pytest.raises(InputError, match="asks for deploy mode cluster on spark://host:7077"):
        MLSQLHook("far").run(plan(DATA))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/no/where")
    with pytest.raises(InputError, match="there is no Java on this machine"):
        MLSQLHook().run(plan(DATA))


def test_a_connection_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(InputError, match="there is no Spark connection lost; add it, or correct spark_conn_id"):
        MLSQLHook("lost").run(plan(DATA))


@pytest.mark.usefixtures("starts_jvm")
def test_a_spark_that_cannot_start_is_a_failed_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LOST", '{"conn_type": "spark", "host": "local[oops]"}')
    with pytest.raises(JobFailed, match="local"):
        MLSQLHook("lost").run(plan(DATA))
