"""mlsql run, as people run it: in child processes, on real Spark."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from broker import Broker
from support.waiting import wait_until
from support.workbench import EXAMPLES, SAMPLE, SEED, TESTS, processes_with

from mlsql_runtime.cli.process import current_user
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.function_history import read_history

pytestmark = pytest.mark.usefixtures("starts_jvm")

MLSQL = str(Path(sys.executable).with_name("mlsql"))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with the script of MLSQL's documentation, what it needs beside it, and a temporary folder of its own."""
    text = (TESTS / "runtime/language/seed.mlsql").read_text(encoding="utf-8")
    text = text.replace('pythonVer`="2.7"', 'pythonVer`="3"').replace("/tmp/pa_model", str(tmp_path / "m"))
    (tmp_path / "seed.mlsql").write_text(text, encoding="utf-8")
    (tmp_path / "sample_libsvm_data.txt").write_bytes(Path(SAMPLE).read_bytes())
    (tmp_path / "tmp").mkdir()
    return tmp_path


def start(here: Path, *arguments: str, **streams: int) -> subprocess.Popen[str]:
    env = {**os.environ, "TMPDIR": str(here / "tmp")}
    return subprocess.Popen([MLSQL, "run", *arguments], cwd=here, env=env, text=True, **streams)  # type: ignore[call-overload,no-any-return]


def mlsql(here: Path, *arguments: str, text: str | None = None) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(here, *arguments, **streams) as process:
        out, err = process.communicate(text, timeout=300)
    assert list((here / "tmp").iterdir()) == []
    return process.returncode, out, err


PREDICT = ("--var", f"pythonPredictScriptPath={SEED}/predict.py")


def test_the_script_of_the_documentation_through_kafka(here: Path, broker: Broker) -> None:
    text = (here / "seed.mlsql").read_text(encoding="utf-8").replace("127.0.0.1:9092", broker.bootstrap)
    (here / "seed.mlsql").write_text(text.replace('enableDataLocal="true"', 'enableDataLocal="false"'), encoding="utf-8")
    variables = ("--var", f"pythonScriptPath={EXAMPLES}/train_bayes.py", *PREDICT)
    code, out, err = mlsql(here, "seed.mlsql", *variables, "--json", "--rows", "3")
    assert code == 0, err
    found = json.loads(out)
    assert (found["train"][0]["version"], found["train"][0]["rows"], found["save"]) == (1, 100, [])
    assert (found["register"][0]["function"], found["register"][0]["version"]) == ("jack", 1)
    (entry,) = read_history(Location.of(found["register"][0]["model_path"]), "jack").history
    assert (entry.happened, entry.by) == ("registered", current_user())
    assert found["table"] == {
        "table": "newdata",
        "columns": ["jack(features)"],
        "rows": [[[0.0]], [[1.0]], [[1.0]]],
        "more": True,
    }
    assert "100 rows through topic test_" in err
    assert "[mlsql] (2/5) train " in err
    assert "[fit 0] mlsql_validation_score:" in err
    assert "INFO" not in err
    assert not [line for line in err.splitlines() if "WARN" in line and "SparkUI" not in line]  # another Spark may run


def test_an_error_of_spark_has_its_place_and_exit_code(here: Path) -> None:
    script = (
        "set spark.sql.ansi.enabled='true' where type='conf';\nset t='{\"a\": 1}'; load jsonStr.`t` as t;\nselect b from t as u;"
    )
    code, out, err = mlsql(here, "-", text=script)
    assert (code, out) == (2, "")
    assert "mlsql: <stdin>:3:1: Spark: " in err
    assert "`b`" in err


def test_on_a_terminal(here: Path) -> None:
    """Progress below the lines, a table that fits, whether there are more rows, and nothing of the progress left."""
    (here / "job.mlsql").write_text(
        'set rows=\'{"a": 1, "b": "é"}\n{"a": 20}\n{"a": 3}\';\nload jsonStr.`rows` as t;\n'
        "select a, b, repeat('x', 500) as c from t as u;"
    )
    ours, theirs = pty.openpty()
    with start(here, "job.mlsql", "--rows", "2", stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal is closed at the other end
            while piece := os.read(ours, 65536):
                shown += piece
        assert process.wait(timeout=60) == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "2/3 select u" in text
    assert "(2/3)" not in text
    lines = [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    head, first, second, more = lines[-4:]
    assert head.split() == ["a", "b", "c"]
    assert first.startswith(" 1  é")
    assert second.startswith("20  null")
    assert second.endswith("…")
    assert max(map(len, lines[-4:])) <= 80
    assert more == "… and more rows in table u"


def test_an_interrupted_run_leaves_nothing_and_shows_no_secret_in_a_command_line(here: Path) -> None:
    number = f"{time.monotonic_ns()}"
    (here / "train.py").write_text(f"import subprocess\nopen('{here}/begun', 'w').close()\nsubprocess.run(['sleep', '{number}'])")
    conf = ("--conf", "spark.hadoop.fs.s3a.secret.key=hush-hush", "--conf", f"spark.mlsql.test={number}")
    with start(here, "seed.mlsql", "--var", "pythonScriptPath=train.py", *PREDICT, *conf, stderr=subprocess.PIPE) as process:
        wait_until(lambda: (here / "begun").exists() or process.poll() is not None, seconds=120)
        assert process.poll() is None
        lines = processes_with(f"spark.mlsql.test={number}")
        assert any("org.apache.spark.deploy.SparkSubmit" in line for line in lines)
        assert [line for line in lines if "hush-hush" in line and MLSQL not in line] == []
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)  # a second signal does not disturb it
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("mlsql: interrupted\n")
    assert processes_with(number) == []
    assert processes_with(str(here)) == []
    assert list((here / "tmp").iterdir()) == []
    assert not (here / "m").exists() or not list((here / "m").rglob("*"))
