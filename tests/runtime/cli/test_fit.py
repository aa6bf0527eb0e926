"""``mlsql fit`` as a shell runs it: a process of its own, exit codes, both kinds of report, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.environments import ARRAYS, make_venv
from support.packages import index_settings, write_wheel
from support.workbench import EXAMPLES, SAMPLE, TESTS

BAYES = str(EXAMPLES / "train_bayes.py")
DATA = f"libsvm.`{SAMPLE}`"
SAVE = "import mlsql, mlsql_model; mlsql_model.sk_save_model({'a': 1});"
GOOD = SAVE + "print('mlsql_validation_score:0.5')"
COMMAND = [sys.executable, "-m", "mlsql_runtime.cli.main", "fit"]


class Shell:
    """A folder for scripts and data, and one for temporary files of the command."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scratch = folder, folder / "tmp"
        self.scratch.mkdir()
        self.environment = {**os.environ, "TMPDIR": str(self.scratch)}
        (folder / "rows.json").write_text('{"features":[1,2],"label":0}\n{"features":[3,4],"label":1}\n')

    def write(self, source: str, name: str = "train.py") -> str:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(source)
        return str(self.folder / name)

    def __call__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def report(self, *arguments: str) -> dict[str, Any]:
        """The JSON document; standard output holds nothing else."""
        done = self(*arguments, "--json")
        document: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if document["status"] == "success" else 1), done.stderr
        return {**document, "stderr": done.stderr}

    @property
    def left(self) -> list[str]:
        return sorted(os.listdir(self.scratch))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_script_is_trained_and_validated_and_its_model_kept(shell: Shell) -> None:
    done = shell(BAYES, "--data", DATA, "--fit-param", "batchSize=30", "--validate", "0.2", "--model-dir", "a/model")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert " rows as parquet files, " in lines[0]
    assert "[fit 0] step 30: batch_accuracy=1" in lines
    facts = {line[:8].strip(): line[9:] for line in lines[lines.index("") + 1 :]}
    assert facts["status"] == "success"
    assert float(facts["score"]) > 0.9
    assert facts["metrics"] == "batch_accuracy 1"
    assert facts["model"].startswith("model.pickle  2")
    assert facts[""] == f"in {shell.folder}/a/model"
    assert (shell.folder / "a/model/model.pickle").stat().st_size > 20_000
    assert shell.left == []


def test_the_json_report(shell: Shell) -> None:
    report = shell.report(BAYES, "--data", DATA, "--validate-data", DATA, "--data-format", "parquet")
    assert "[fit 0] mlsql_validation_score:" in report.pop("stderr")
    seconds = report.pop("seconds")
    assert 0 < seconds["data"] + seconds["script"] <= seconds["total"]
    (file,) = report.pop("files")
    assert file["path"] == "model.pickle"
    assert report.pop("score") > 0.95
    assert report.pop("metrics") == {"batch_accuracy": 1.0}
    assert report == {
        "status": "success",
        "message": None,
        "rows": 100,
        "validate_rows": 100,
        "model_dir": None,
        "folder": None,
        "tail": [],
    }
    assert shell.left == []


SVC = ["--fit-param", "moduleName=sklearn.svm", "--fit-param", "className=SVC"]


def test_a_built_in_algorithm_needs_no_script(shell: Shell) -> None:
    report = shell.report("--builtin", "sklearn", "--data", DATA, "--validate-data", DATA, *SVC, "--fit-param", "C=0.5")
    assert "SVC(C=0.5)" in report["stderr"]
    assert (report["status"], report["score"]) == ("success", 1.0)


def test_a_seed(shell: Shell) -> None:
    script = shell.write(GOOD + "\nimport random; print('drawn', mlsql.seed(), random.random())")
    first, second = (shell(script, "--data", "rows.json", "--seed", "7").stdout for _ in range(2))
    (line,) = [line for line in first.splitlines() if "drawn 7 0." in line]
    assert line in second


def test_the_parameters_of_a_script(shell: Shell) -> None:
    shell.write("words", "words.txt")
    shell.write("1", "many/deep/x.txt")
    source = f"""
import json, mlsql, os, sys
import helper
p = mlsql.params()
words = p["internalSystemParam"]["resource"]
print("found:" + json.dumps([p["fitParam"], p["kafkaParam"], p["systemParam"], p["internalSystemParam"]["algIndex"],
    open(words["words"]).read(), os.listdir(words["many"] + "/deep"), os.environ["COLOUR"], sys.flags.dev_mode,
    os.environ["OMP_NUM_THREADS"], sorted(os.listdir(mlsql.internal_system_param["tempDataLocalPath"])), helper.X]))
{GOOD}
"""
    shell.write(source, "script/train.py")
    shell.write("X = 7", "script/helper.py")
    arguments = ["--fit-param", "a=1=2", "--fit-param", "resource.words=words.txt", "--fit-param", "resource.many=many"]
    done = shell("script", "--data", "rows.json", *arguments, "--env", "COLOUR=red", "--python-param", "-X dev")
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "found:" in line]
    system = {"pythonParam": "-X dev", "envs": "COLOUR"}
    found = json.loads(line.partition("found:")[2])
    assert found == [{"a": "1=2"}, {}, system, "0", "words", ["x.txt"], "red", True, "1", ["part-00000.json"], 7]


SCRIPTS = {
    "raises": ("raise ValueError('no luck')", "failed", "it ended with exit code 1: ValueError: no luck"),
    "exits": ("import sys; print('last words'); sys.exit(3)", "failed", "it ended with exit code 3"),
    "is killed": ("import os; os.kill(os.getpid(), 9)", "failed", "it was killed by SIGKILL"),
    "hangs": ("import time; time.sleep(600)", "timeout", "it ran longer than its timeout of 3 s and was ended"),
    "no model": ("print('mlsql_validation_score:1')", "failed", "it wrote no model: tempModelLocalPath was empty"),
    "no score": (SAVE, "success", "it printed no mlsql_validation_score, so it has no score"),
    "not a number": (SAVE + "print('mlsql_validation_score:nan')", "success", "nan, which counts as no score"),
}


@pytest.mark.parametrize(("source", "status", "message"), SCRIPTS.values(), ids=SCRIPTS)
def test_how_a_script_ends(shell: Shell, source: str, status: str, message: str) -> None:
    report = shell.report(shell.write(source), "--data", "rows.json", "--timeout", "3", "--model-dir", "m")
    assert report["status"] == status
    assert message in report["message"]
    assert report["score"] is None
    assert os.path.exists(shell.folder / "m") == (status == "success")
    assert shell.left == []


def test_a_failure_says_where_the_output_is(shell: Shell) -> None:
    done = shell(shell.write("print('x'); raise ValueError('no luck')"), "--data", "rows.json", "--keep-local-directory")
    assert done.returncode == 1
    assert "status   failed: it ended with exit code 1: ValueError: no luck" in done.stdout
    (kept,) = shell.left
    assert f"output   above, in full in {shell.scratch}/{kept}/log" in done.stdout
    assert (shell.scratch / kept / "log").read_text().startswith("x\nTraceback")


CSV = ["--data", "csv.`rows.csv`"]
WRONG: dict[str, tuple[list[str], str]] = {
    "neither script nor algorithm": (["--data", "rows.json"], "no script is given; name one as SCRIPT, or"),
    "both": (["good.py", "--builtin", "sklearn", "--data", "rows.json"], "both SCRIPT 'good.py' and builtin 'sklearn' are given"),
    "no estimator": (["--builtin", "sklearn", "--data", "rows.json"], "fitParam.0.moduleName is not given"),
    "seed": (["good.py", "--data", "rows.json", "--seed", "-1"], "expected a whole number from 0 to 4294967295"),
    "no script": (["nowhere.py", "--data", "rows.json"], "there is no script at nowhere.py"),
    "no Python file": (["rows.json", "--data", "rows.json"], "is not a .py file"),
    "no train.py in the folder": (["tmp", "--data", "rows.json"], "has no train.py"),
    "Python 2": (["two.py", "--data", "nowhere.json"], "two.py:1: Missing parentheses"),
    "no interpreter": (
        ["good.py", "--data", "rows.json", "--python", "/nowhere/python"],
        "no Python interpreter /nowhere/python",
    ),
    "wrong flag": (["good.py", "--data", "rows.json", "--python-param=--bogus"], "does not run as a Python 3 interpreter"),
    "no data": (["good.py"], "Missing option '--data'"),
    "data not there": (["good.py", "--data", "nowhere.json"], "--data: there is nothing at nowhere.json"),
    "unknown scheme": (["good.py", "--data", "json.`nope://x`"], "no file system for this scheme"),
    "orc that is not there": (["good.py", "--data", "orc.`nowhere`"], "--data: there is nothing at nowhere"),
    "option without value": (["good.py", *CSV, "--option", "header"], "expected name=value"),
    "option twice": (["good.py", *CSV, "--option", "sep=a", "--option", "sep=b"], "sep is given twice"),
    "fraction": (["good.py", "--data", "rows.json", "--validate", "1.5"], "the held-out fraction is 1.5"),
    "fraction that leaves nothing": (["good.py", "--data", "rows.json", "--validate", "0.9999"], "all its 2 rows are held out"),
    "two validations": (
        ["good.py", "--data", "rows.json", "--validate", "0.5", "--validate-data", "rows.json"],
        "expected one of them",
    ),
    "validation not there": (
        ["good.py", "--data", "rows.json", "--validate-data", "n.json"],
        "--validate-data: there is nothing",
    ),
    "empty": (["good.py", "--data", "empty.json"], "is empty: there is nothing to train on"),
    "no such column": ([BAYES, *CSV], "has no column 'features', which mlsql.read_batches in train_bayes.py reads"),
    "no JSON": (["good.py", "--data", "json.`rows.csv`"], "rows.csv:1: expected a JSON object"),
    "model there": (["good.py", "--data", "rows.json", "--model-dir", "full"], "exists and is not empty"),
    "model a file": (["good.py", "--data", "rows.json", "--model-dir", "rows.csv"], "exists and is not empty"),
    "resource": (
        ["good.py", "--data", "rows.json", "--fit-param", "resource.a=nowhere"],
        "resource.a=nowhere: there is nothing there",
    ),
    "timeout": (["good.py", "--data", "rows.json", "--timeout", "0"], "--timeout is 0.0; expected a number over 0"),
    "widths": (["good.py", "--data", "widths.json"], "vectors of different widths, from 1 to 2"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_input(shell: Shell, arguments: list[str], message: str) -> None:
    shell.write(GOOD, "good.py")
    shell.write("print 'x'", "two.py")
    shell.write("", "empty.json")
    shell.write("a,b\n", "rows.csv")
    shell.write("x", "full/x")
    shell.write('{"features":{"type":1,"values":[1]}}\n{"features":{"type":1,"values":[1,2]}}\n', "widths.json")
    done = shell(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert shell.left == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(
    shell: Shell,
    marker: str,
    processes_with: Callable[[str], list[Any]],
    wait_until: Callable[..., None],
    number: signal.Signals,
) -> None:
    """The script starts one child in a session of its own, and ignores what it can."""
    source = f"""
import signal, subprocess, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
subprocess.Popen(["sleep", "{marker}"], start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""
    running = subprocess.Popen(
        [*COMMAND, shell.write(source), "--data", "rows.json"],
        cwd=shell.folder,
        env=shell.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    assert any("[fit 0] up" in line for line in iter(running.stdout.readline, ""))
    wait_until(lambda: processes_with(marker), "the script's child runs")
    if number is signal.SIGINT:
        os.killpg(running.pid, number)  # as a terminal does
        os.killpg(running.pid, number)
    else:
        running.send_signal(number)
    _, complaint = running.communicate(timeout=30)
    assert running.returncode == 130, complaint
    assert "mlsql: interrupted" in complaint
    assert "Traceback" not in complaint
    wait_until(lambda: not processes_with(marker), "the script's child is gone")
    assert shell.left == []


def test_patterns_compressed_files_and_other_storage(shell: Shell, s3_server: str) -> None:
    import gzip

    import fsspec

    (shell.folder / "x-1.json.gz").write_bytes(gzip.compress(b'{"a":1}\n'))
    (shell.folder / "x-2.json.gz").write_bytes(gzip.compress(b'{"a":2}\n{"a":3}\n'))
    script = shell.write(GOOD)
    assert shell.report(script, "--data", "x-*.json.gz")["rows"] == 3
    fsspec.filesystem("s3").pipe_file(f"{s3_server.removeprefix('s3://')}/fit/part-0.csv", b"a,b\n1,2\n")
    shell.environment |= {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
    report = shell.report(script, "--data", f"csv.`{s3_server}/fit`", "--option", "header=true", "--model-dir", f"{s3_server}/m")
    assert report["rows"] == 1
    assert report["model_dir"] == f"{s3_server}/m"
    fsspec.filesystem("s3").invalidate_cache()
    assert fsspec.filesystem("s3").exists(f"{s3_server}/m/model.pickle")


def test_the_command_imports_neither_spark_nor_frameworks(shell: Shell) -> None:
    script = shell.write(GOOD)
    program = f"""
import sys
from mlsql_runtime.cli.main import main
heavy = {{"pyspark", "sklearn", "scipy", "pandas", "kafka", "numpy", "pyarrow"}}
assert main(["fit", "--help"]) == 0
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert main(["fit", {script!r}, "--data", "nowhere.json"]) == 2
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert main(["fit", {script!r}, "--data", "rows.json"]) == 0
assert heavy & set(sys.modules) <= {{"numpy", "pyarrow"}}, heavy & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=shell.folder, env=shell.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_help_fits_a_terminal(shell: Shell) -> None:
    done = shell("--help")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "mlsql fit train.py --data" in done.stdout


def test_the_same_rows_are_held_out_each_time(shell: Shell) -> None:
    source = SAVE + "print('held', sorted(mlsql.get_validate_data()[0][:, 0]))"
    shell.write("\n".join(f'{{"features":[{n}],"label":0}}' for n in range(50)), "many.json")
    runs = [shell.report(shell.write(source), "--data", "many.json", "--validate", "0.3") for _ in range(2)]
    held = [[line for line in run["stderr"].splitlines() if "held" in line] for run in runs]
    assert held[0] == held[1]
    assert runs[0]["rows"] + runs[0]["validate_rows"] == 50
    assert 5 < runs[0]["validate_rows"] < 25


ARRAYS_ONLY = """
import mlsql, mlsql_model
X, y = mlsql.all_data()
mlsql.report(rows=X.shape[0], width=X.shape[1], batches=len(list(mlsql.read_batches(30))))
open(mlsql_model.model_dir() + "/model", "w").write("x")
"""


def test_a_script_of_arrays_runs_in_an_interpreter_without_spark(shell: Shell) -> None:
    python = str(make_venv(shell.folder / "env", *ARRAYS))
    shell.environment["PYTHONPATH"] = str(TESTS.parent)  # where this command is, and no pyspark
    found = shell.report(shell.write(ARRAYS_ONLY), "--data", DATA, "--python", python)
    assert (found["status"], found["metrics"]) == ("success", {"rows": 100.0, "width": 692.0, "batches": 4.0}), found
    rows = shell.report(shell.write("import mlsql\nnext(mlsql.read_data()())", "rows.py"), "--data", DATA, "--python", python)
    assert rows["status"] == "failed"
    assert "this interpreter has no pyspark; install it, or use mlsql.read_batches()" in rows["message"]
    lacking = shell(shell.write("import mlsql, sklearn", "lacking.py"), "--data", DATA, "--python", python)
    assert lacking.returncode == 2
    assert f"mlsql: {python} on " in lacking.stderr
    assert "lacks sklearn (package scikit-learn), which lacking.py imports" in lacking.stderr


def test_a_script_runs_in_an_environment_of_its_requirements(shell: Shell) -> None:
    write_wheel(shell.folder / "index", "mlsqlwords", "1.5")
    (shell.folder / "requirements.txt").write_text("mlsqlwords\n")
    shell.environment |= index_settings(shell.folder / "index")
    shell.environment |= {"MLSQL_ENVIRONMENTS": str(shell.folder / "kept"), "UV_CACHE_DIR": str(shell.folder / "cache")}
    source = "import mlsql_model, mlsqlwords; print('mlsql_validation_score:' + mlsqlwords.VERSION)\n"
    path = shell.write(source + "open(mlsql_model.model_dir() + '/model', 'w').write('x')")
    done = shell(path, "--data", "rows.json", "--requirements", "requirements.txt")
    assert done.returncode == 0, done.stderr
    assert "[mlsql] building an environment of 1 requirements on " in done.stdout
    assert "1.5" in done.stdout
    assert shell.left == []
