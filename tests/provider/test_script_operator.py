"""MLSQLScriptOperator: where scripts are found, what is told before Spark starts, and real runs of real scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Asset
from support.airflow import Airflow
from support.workbench import EXAMPLES, SAMPLE, SEED, TESTS

from airflow_provider_mlsql.operators.script import MLSQLScriptOperator
from mlsql_runtime.errors import ClusterUnavailable, InputError, JobFailed, ScriptNotFound, to_json
from mlsql_runtime.plan import Load, Register, Show


def scripted(script: str, **arguments: Any) -> MLSQLScriptOperator:
    return MLSQLScriptOperator(task_id="job", script=script, **arguments)


def test_text() -> None:
    operator = scripted("load csv.`${path}` as t;", variables={"path": "/d"}, show_rows="3")
    assert operator.build_job().statements == (Load(table="t", format="csv", path="/d"), Show(table="t", rows=3))


@pytest.mark.parametrize("nothing", [None, "", {}, "{}", "None", "null"])
def test_variables_may_be_left_out(nothing: object) -> None:
    assert scripted("load csv.`/d` as t;", variables=nothing, show_rows=nothing).build_job().conf == {}


def test_variables_as_json_text() -> None:
    assert scripted("load csv.`/${a.b}` as t;", variables='{"a.b": 1}', show_rows=0).build_job().statements[0].path == "/1"  # type: ignore[union-attr]


@pytest.mark.parametrize("place", ["dags/jobs", "templates/jobs"])
def test_a_file_and_what_lies_beside_it(tmp_path: Path, place: str) -> None:
    (tmp_path / "dags").mkdir(exist_ok=True)
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "job.mlsql").write_text(
        "include `lib.mlsql`;\nregister PythonAlg.`/m` as f options pythonScriptPath='p.py';"
    )
    (tmp_path / place / "lib.mlsql").write_text("load csv.`d.csv` as t;")
    (tmp_path / place / "d.csv").touch()
    dag = DAG("d", schedule=None, template_searchpath=str(tmp_path / "templates"))
    dag.fileloc = str(tmp_path / "dags/dag.py")
    operator = scripted("jobs/job.mlsql", dag=dag, show_rows=0)
    operator.resolve_template_files()
    load, register = operator.build_job().statements
    assert isinstance(load, Load)
    assert isinstance(register, Register)
    assert (load.path, register.script_path) == (str(tmp_path / place / "d.csv"), str(tmp_path / place / "p.py"))


def test_variables_that_end_like_files_stay_what_they_are(tmp_path: Path) -> None:
    for name in ("job.mlsql", "lib.mlsql"):
        (tmp_path / name).write_text("load csv.`/${x}` as t;" if name == "job.mlsql" else "set a='1';")
    dag = DAG("d", schedule=None)
    dag.fileloc = str(tmp_path / "dag.py")
    operator = scripted("job.mlsql", dag=dag, variables={"x": "lib.mlsql"}, show_rows=0)
    operator.resolve_template_files()
    operator.render_template_fields({})  # type: ignore[arg-type]
    assert operator.build_job().statements == (Load(table="t", format="csv", path="/lib.mlsql"),)


def test_a_mapped_task_reads_its_file_too(tmp_path: Path) -> None:
    (tmp_path / "job.mlsql").write_text("load csv.`/${x}` as t;")
    dag = DAG("d", schedule=None)
    dag.fileloc = str(tmp_path / "dag.py")
    operator = scripted("job.mlsql", dag=dag, variables={"x": "d"}, show_rows=0)  # nobody calls resolve_template_files for those
    assert operator.build_job().statements == (Load(table="t", format="csv", path="/d"),)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    dag = DAG("d", schedule=None, template_searchpath="/templates")
    dag.fileloc = str(tmp_path / "dag.py")
    operator = scripted("jobs/none.mlsql", dag=dag)
    operator.resolve_template_files()
    operator.render_template_fields({})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=rf"there is no script jobs/none\.mlsql in {tmp_path} or /templates; put it there"):
        operator.build_job()
    rendered = scripted("{{ file }}")
    rendered.render_template_fields({"file": "job.mlsql"})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(InputError, match=r"script is 'job\.mlsql', which a template gave"):
        rendered.build_job()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"script": " "}, "script is empty"),
        ({"script": None}, "script is empty"),
        ({"script": "load csv.`${x}` as t", "variables": {"x": None}}, "variable 'x' is None; expected text"),
        ({"script": "load csv.`/d` as t", "variables": "[1]"}, "variables is .* expected a dict"),
        ({"script": "load csv.`/d` as t", "variables": {"a b": 1}}, "variable 'a b' is given"),
        ({"script": "load csv.`/d` as t", "functions": 3}, "functions is 3"),
        ({"script": "load csv.`/d` as t", "show_rows": "many"}, "show_rows is 'many'"),
        ({"script": "load csv.`/d` as t", "show_rows": -1}, "show_rows is -1"),
        ({"script": "load csv.`/d` as t", "show_rows": 1001}, "show_rows is 1001; expected a whole number from 0 to 1000"),
        ({"script": "load csv.`/d` as t;\nselect * from t as;"}, r"job:2:19: a query ends with the name of its table"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MLSQLScriptOperator(task_id="job", **arguments).build_job()


def test_an_unknown_argument() -> None:
    with pytest.raises(InputError, match="no argument 'variable'; did you mean 'variables'"):
        scripted("", variable={})


def test_what_needs_no_data_is_told_with_its_place_before_spark_starts(tmp_path: Path) -> None:
    operator = scripted(
        f"""load libsvm.`{SAMPLE}` as data;
train data as PythonAlg.`{tmp_path}/m` where pythonScriptPath="{tmp_path}/none.py";"""
    )
    context: Any = {"ti": _TaskInstance()}
    with pytest.raises(ScriptNotFound, match=r"^job:2:1: there is no script at .*none.py") as caught:
        operator.execute(context)
    assert caught.value.origin is not None
    assert (caught.value.origin.line, caught.value.origin.column) == (2, 1)


def test_a_deferred_task_logs_the_warnings_of_its_script_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = {"deploy-mode": "cluster", "yarn_resourcemanager_webapp_address": "http://127.0.0.1:1"}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps({"conn_type": "spark", "host": "yarn", "extra": extra}))
    text = f"""load libsvm.`{SAMPLE}` as data;
train data as PythonAlg.`{tmp_path}/m` where pythonScriptPath="{EXAMPLES}/train_bayes.py" and useThread="true";"""
    operator = scripted(text, spark_conn_id="away")
    context: Any = {"ti": _TaskInstance()}
    with pytest.raises(ClusterUnavailable):
        operator.execute(context)
    assert capsys.readouterr().out.count("option 'useThread' is obsolete") == 1
    event = {"status": "failed", "id": "application_1_1", "run": str(tmp_path / "run"), "error": to_json(JobFailed("lost"))}
    with pytest.raises(JobFailed, match="lost"):
        operator.execute_complete(context, event)
    assert "useThread" not in capsys.readouterr().out


class _TaskInstance:
    dag_id, task_id, run_id, map_index, try_number, max_tries = "d", "job", "r", -1, 1, 0

    def xcom_push(self, **_: Any) -> None:
        """Do nothing with links to Spark's UI."""


def test_the_example(airflow: Airflow, tmp_path: Path) -> None:
    conf = {"model_path": str(tmp_path / "m"), "output_path": str(tmp_path / "o")}
    log = airflow.succeed("mlsql_script", conf)
    xcom = airflow.xcoms("mlsql_script")["train_and_predict"]
    assert [fit["status"] for fit in xcom["train"][0]["fits"]] == ["success", "success"]
    assert xcom["register"][0]["registered"] is True
    assert xcom["save"] == [{"format": "parquet", "output": str(tmp_path / "o"), "rows": 100}]
    assert xcom["table"]["columns"] == ["label", "prediction", "rows"]
    assert sum(row[2] for row in xcom["table"]["rows"]) == 100
    assert "[mlsql] (2/8) train " in log


@pytest.mark.usefixtures("starts_jvm")
def test_the_script_of_the_documentation(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As users have it, but for the version of Python and the model path. ``mlsql run`` runs it through Kafka, in its tests."""
    from airflow.sdk.execution_time.context import OutletEventAccessors  # not part of Airflow's public interface

    text = (TESTS / "runtime/language/seed.mlsql").read_text(encoding="utf-8")
    text = text.replace('pythonVer`="2.7"', 'pythonVer`="3"').replace("/tmp/pa_model", str(tmp_path / "m"))
    (tmp_path / "seed.mlsql").write_text(text, encoding="utf-8")
    (tmp_path / "sample_libsvm_data.txt").write_bytes(Path(SAMPLE).read_bytes())
    dag, asset = DAG("seed", schedule=None), Asset("seed_model")
    dag.fileloc = str(tmp_path / "dag.py")
    scripts = {"pythonScriptPath": f"{SEED}/train.py", "pythonPredictScriptPath": f"{SEED}/predict.py"}
    operator = scripted("seed.mlsql", dag=dag, variables=scripts, outlets=[asset])
    operator.resolve_template_files()
    events = OutletEventAccessors()
    context: Any = {"ti": _TaskInstance(), "outlet_events": events}
    done = operator.execute(context)
    assert "100 rows as json files" in capfd.readouterr().out
    [trained], [registered] = done["train"], done["register"]
    assert (trained["version"], trained["rows"]) == (1, 100)
    assert trained["score"] > 0.9
    assert registered["version"] == 1
    assert done["table"]["columns"] == ["jack(features)"]
    assert done["table"]["rows"][:2] == [[[0.0]], [[1.0]]]
    assert (len(done["table"]["rows"]), done["table"]["more"]) == (20, True)
    assert events[asset].extra == {
        "train": [{key: trained[key] for key in ("model_path", "version", "score")}],
        "register": [{key: registered[key] for key in ("function", "registered", "reason", "model_path", "version", "score")}],
    }
