"""Scripts that somebody starts without a job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlsql
import mlsql_model
import pytest

import mlsql_runtime
from mlsql_runtime.language import compile_script
from mlsql_runtime.script.current_job import require_job

ROOT = Path(mlsql_runtime.__file__).parents[1]


def run_directly(file: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Run a script without a job, in its own folder."""
    file.write_text(source)
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, file.name], cwd=file.parent, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_modules_are_silent_outside_of_a_job(tmp_path: Path) -> None:
    source = """
import mlsql, mlsql_model, python_fun
print(mlsql.fit_param, mlsql.kafka_param, mlsql.internal_system_param, mlsql.get_param({}, "a", 1))
mlsql.report(step=1, loss=0.5)
mlsql.progress(1, 2)
"""
    done = run_directly(tmp_path / "train.py", source)
    assert (done.returncode, done.stderr) == (0, "")
    parameters, report, progress = done.stdout.splitlines()
    assert parameters == "{} {} {} 1"
    assert "0.5" in report
    assert "1 of 2" in progress


def assert_tells_how_to_run_it(lines: list[str], script: str, quoted: str) -> None:
    error, command, operator = lines
    assert error.removeprefix("RuntimeError: ").startswith(f"{script} runs outside of a job, so ")
    assert command == f"    mlsql fit {quoted} --data 'libsvm.`sample_libsvm_data.txt`' --fit-param batchSize=1000"
    assert operator == f"or in a DAG, with MLSQLTrainOperator(python_script_path={script!r}, ...)"


@pytest.mark.parametrize(
    "call",
    [
        "mlsql.params()",
        "mlsql.fit_param['batchSize']",
        "mlsql.internal_system_param['tempDataLocalPath']",
        "mlsql.all_data()",
        "mlsql.sklearn_all_data()",
        "mlsql.get_validate_data()",
        "next(mlsql.read_batches())",
        "next(mlsql.read_data()())",
        "mlsql.sklearn_batch_data(print)",
        "mlsql_model.model_dir()",
        "mlsql_model.sk_save_model(1)",
    ],
)
def test_a_call_that_needs_a_job_says_how_to_run_the_script_in_one(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setattr(sys, "argv", ["my train.py"])
    with pytest.raises(RuntimeError) as caught:
        eval(call, {"mlsql": mlsql, "mlsql_model": mlsql_model})
    assert_tells_how_to_run_it(str(caught.value).splitlines(), "my train.py", "'my train.py'")


def test_a_traceback_ends_with_how_to_run_the_script(tmp_path: Path) -> None:
    done = run_directly(tmp_path / "my train.py", "import mlsql\nmlsql.all_data()")
    assert done.stderr.startswith("Traceback")
    assert_tells_how_to_run_it(done.stderr.splitlines()[-3:], "my train.py", "'my train.py'")


@pytest.mark.parametrize("name", ["", "-c", "/x/ipykernel_launcher.py", "/x/pytest"])
def test_without_a_script_an_error_names_one_to_write(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(RuntimeError, match=r"mlsql fit train\.py --data"):
        require_job("there is nothing")


def test_a_predict_script_says_how_to_register_it(tmp_path: Path) -> None:
    done = run_directly(tmp_path / "predict.py", "import python_fun\npython_fun.udf(lambda index, s: [])")
    assert (done.returncode, done.stderr) == (0, "")
    message, statement, operator = done.stdout.splitlines()
    assert message.startswith("python_fun.udf: nothing is registered")
    assert "predict.py runs outside of a registration" in message
    assert "mlsql run" in message
    (registered,) = compile_script(statement).statements
    assert registered.tag == "register"
    assert "MLSQLRegisterOperator(python_script_path='predict.py', ...)" in operator
