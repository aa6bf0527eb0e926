"""Two hosts that differ: what one of them lacks is told in one error, before any data move."""

from __future__ import annotations

import os
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from support.cluster import standalone_cluster
from support.environments import make_venv, pack
from support.packages import index_settings, write_wheel
from support.workbench import DATA, Script

from mlsql_runtime.errors import InputError, MLSQLError, PreflightFailed
from mlsql_runtime.plan import Plan, Preflight, PythonEnv, Register, Secrets, Statement, Train
from mlsql_runtime.result import PreflightResult, RunResult, TrainResult
from mlsql_runtime.submission.client_mode import ClientJob
from mlsql_runtime.submission.spark_submit import build_command

pytestmark = pytest.mark.usefixtures("starts_jvm")

GOOD, BAD = "127.0.0.1", "127.0.0.2"
TRAIN = "import only_here, mlsql, mlsql_model\nfor X, y in mlsql.read_batches(): pass\nmlsql_model.sk_save_model(1)"
COUNT = """
import json, os, sys, mlsql, mlsql_model
folder = mlsql.internal_system_param["tempDataLocalPath"]
rows = [json.loads(line) for name in os.listdir(folder) if name.endswith(".json") for line in open(os.path.join(folder, name))]
print("mlsql_validation_score:%f" % len(rows))
mlsql.report(packed="/env/bin/python" in sys.executable, width=rows[0]["features"]["size"])
open(mlsql_model.model_dir() + "/model", "w").write("x")
"""
OTHER_PYTHON = """#!/bin/sh
if [ -n "$ANOTHER_VERSION" ]; then export PYTHONPATH="$ANOTHER_VERSION:$PYTHONPATH"; fi
exec {python} "$@"
"""
OTHER_VERSION = """
import collections, sys
sys.version_info = collections.namedtuple("version_info", "major minor micro releaselevel serial")(3, 9, 1, "final", 0)
"""
NO_CONF: Mapping[str, str] = {}
BUILT = """
import mlsql_model, mlsqlwords, sys
print("mlsql_validation_score:" + mlsqlwords.VERSION)
open(mlsql_model.model_dir() + "/model", "w").write(sys.prefix)
"""
Run = Callable[..., RunResult]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What only the good host has on its paths: a Python of its own, and a package. And a Python that is older on the bad one."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "bin").mkdir()
    (folder / "bin/special-python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "bin/special-python").chmod(0o755)
    (folder / "packages").mkdir()
    (folder / "packages/only_here.py").write_text("")
    (folder / "older").mkdir()
    (folder / "older/sitecustomize.py").write_text(OTHER_VERSION)
    (folder / "either-python").write_text(OTHER_PYTHON.format(python=sys.executable))
    (folder / "either-python").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, tools: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "worker-0/scratch").mkdir(parents=True)
    (folder / "worker-1").mkdir()
    (folder / "worker-1/scratch").write_text("a file, no folder")
    write_wheel(folder / "index", "mlsqlwords", "1.0")
    both = {**index_settings(folder / "index"), "PIP_CONFIG_FILE": os.devnull, "UV_CACHE_DIR": str(folder / "cache")}
    good = {"PATH": f"{tools}/bin{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": f"{tools}/packages"}
    bad = {"ANOTHER_VERSION": f"{tools}/older"}
    environments = [{**both, **own, "MLSQL_ENVIRONMENTS": f"{folder}/built-{n}"} for n, own in enumerate((good, bad))]
    with standalone_cluster(folder, (GOOD, BAD), environments=environments) as url:
        yield url


@pytest.fixture
def run(master: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run statements on the cluster, as ``mlsql run`` does."""
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")

    def run_statements(*statements: Statement, conf: Mapping[str, str] = NO_CONF) -> RunResult:
        plan = Plan(job_id="preflight", statements=statements)
        job = ClientJob(plan, Secrets(), master, {"spark.executor.memory": "600m", **conf})
        return job.run(partial(build_command, master), lambda line: print(line.text))

    return run_statements


def told(step: object) -> list[tuple[str, str]]:
    """Kind and text of a step's problems; both hosts have answered."""
    assert isinstance(step, PreflightResult)
    assert [report.host for report in step.hosts] == [GOOD, BAD]
    assert step.silent == ()
    assert not step.hosts[0].problems
    return [(problem.kind, problem.message) for problem in step.problems]


def test_each_host_is_looked_at_and_a_packed_environment_trains_on_both(
    run: Run, tmp_path: Path, script: Script, capfd: pytest.CaptureFixture[str]
) -> None:
    make_venv(tmp_path / "env")
    archive = pack(tmp_path / "env", tmp_path / "packed.tar.gz")
    packed = PythonEnv(path="env/bin/python", archives=(f"{archive}#env",))
    count = script(COUNT, "count.py")
    groups = ({"n": "0"}, {"n": "1"})
    result = run(
        Preflight(script_path=script(TRAIN)),
        Preflight(python=PythonEnv(path="special-python")),
        Preflight(script_path=script("import sklearn", "lacking.py"), python=packed),
        Preflight(script_path=count, python=packed, model_path=str(tmp_path / "m")),
        DATA,
        Train(table="data", model_path=str(tmp_path / "m"), script_path=count, python=packed, fit_params=groups),
        Train(
            table="data",
            model_path=str(tmp_path / "b"),
            script_path=script(BUILT, "built.py"),
            python=PythonEnv(requirements="mlsqlwords==1.0"),
            fit_params=groups,
        ),
    )
    package, interpreter, lacking, fine, trained, built = result.steps
    assert told(package) == [
        (
            "packages",
            f"{sys.executable} on {BAD} lacks only_here, which script.py imports; install only_here there, or bring them with "
            "requirements, archives or pythonPath",
        )
    ]
    [(kind, message)] = told(interpreter)
    assert kind == "interpreter"
    assert "special-python on 127.0.0.2" in message
    assert isinstance(lacking, PreflightResult)
    assert [problem.kind for problem in lacking.problems] == ["packages", "packages"]
    assert all("install scikit-learn into the environment, and pack it again" in each.message for each in lacking.problems)
    assert told(fine) == []
    assert isinstance(trained, TrainResult)
    assert [(fit.status, dict(fit.metrics)) for fit in trained.fits] == [("success", {"packed": 1.0, "width": 692.0})] * 2
    assert isinstance(built, TrainResult)
    assert [fit.score for fit in built.fits] == [1.0, 1.0]
    used = {(tmp_path / f"b/_model_{built.version}/model/{index}/model").read_text() for index in (0, 1)}
    assert {Path(prefix).parents[1].name for prefix in used} == {"built-0", "built-1"}  # each host's own
    log = capfd.readouterr().out
    assert log.count("building an environment of 1 requirements on ") == 2
    assert "[fit 0] the environment" not in log  # it was there


def test_all_that_is_wrong_is_one_error_before_data_move(run: Run, tmp_path: Path, script: Script) -> None:
    train = Train(
        table="data",
        model_path=str(tmp_path / "m"),
        script_path=script(TRAIN),
        python=PythonEnv(path="special-python"),
    )
    with pytest.raises(PreflightFailed) as caught:
        run(DATA, train, conf={"spark.executorEnv.MLSQL_SCRATCH": "../../scratch"})
    first, interpreter, scratch = caught.value.message.splitlines()
    assert first == "1 of 2 hosts cannot run the script:"
    assert "there is no Python interpreter" in interpreter
    assert "special-python on 127.0.0.2; install it there or correct pythonPath" in interpreter
    assert f"worker-1/scratch on {BAD}, for scripts' folders, cannot be written" in scratch
    assert "make room there, or set " in scratch
    assert caught.value.facts["hosts"] == [BAD]
    assert not (tmp_path / "m").exists()


def test_another_minor_version_for_functions_names_the_host(run: Run, tmp_path: Path, script: Script, tools: Path) -> None:
    with pytest.raises(MLSQLError) as caught:
        run(
            DATA,
            Train(table="data", model_path=str(tmp_path / "m"), script_path=script(COUNT)),
            Register(model_path=str(tmp_path / "m"), function="f", script_path=script("pass", "predict.py")),
            conf={"spark.pyspark.python": f"{tools}/either-python", "spark.task.maxFailures": "1"},
        )
    assert isinstance(caught.value, PreflightFailed)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"the executors' Python on {BAD}, " in caught.value.message
    assert f"is 3.9, and the driver's is {here}" in caught.value.message
    assert "set spark.pyspark.python" in caught.value.message
    assert GOOD not in caught.value.message


def test_an_archive_that_is_broken_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "python").write_bytes(os.urandom(4096))
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "python", "bin/python")
    whole = (tmp_path / "whole.tar.gz").read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"half\.tar\.gz"):
        run(Preflight(python=PythonEnv(path="env/bin/python", archives=(f"{tmp_path}/half.tar.gz#env",))))
