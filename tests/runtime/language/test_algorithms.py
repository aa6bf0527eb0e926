"""Statements about algorithms, as text and as plan: train, register, predict, and the functions that queries call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlsql_runtime.language import CompiledScript, compile_script
from mlsql_runtime.plan import FileFeed, FunctionRef, KafkaFeed, Predict, PythonEnv, Register, Select, Statement, Train

DATA = "load json.`/d` as data;"
TRAIN = Train(table="data", model_path="/m", script_path="/t.py")


def one(text: str, **arguments: Any) -> Any:
    """The last statement of a script."""
    return compile_script(text, **arguments).statements[-1]


def train(options: str) -> Statement:
    return one(f'{DATA} train data as PythonAlg.`/m` where pythonScriptPath="/t.py" {options};')


def test_resources_are_beside_the_script_if_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "words.txt").touch()
    statement = one(
        f"{DATA} train data as PythonAlg.`/m` where pythonScriptPath='/t.py' and fitParam.0.resource.a='words.txt' "
        "and fitParam.0.resource.b='none.txt';",
        folder=tmp_path,
    )
    assert statement.fit_params == ({"resource.a": str(tmp_path / "words.txt"), "resource.b": "none.txt"},)


def test_a_table_of_results() -> None:
    trained, selected = compile_script(
        f'{DATA} train data as PythonAlg.`/m` where pythonScriptPath="/t.py" as result; select * from result as r;'
    ).statements[1:]
    assert trained == replace(TRAIN, result="result")
    assert selected == Select(table="r", sql="select * from result")


def test_train_with_all_options() -> None:
    made = train(
        """and fitParam.1.b='2' and `fitParam.0.a.b`="1" and `fitParam.0.resource.words`="/w" and evaluateTable="data"
        and dataLocalFormat="CSV" and dataLocalFileNum="2" and dataLocal.option.header="true"
        and systemParam.pythonPath="python" and systemParam.pythonVer="3.11" and systemParam.pythonParam="-u -W 'a b'"
        and systemParam.envs='''{"A": "b", "C": 1}''' and systemParam.timeout="60"
        and keepVersion="true" and keepVersions="3" and scoreMode="min" and failOn="any" and keepLocalDirectory="True" """
    )
    assert made == Train(
        table="data",
        model_path="/m",
        script_path="/t.py",
        fit_params=({"a.b": "1", "resource.words": "/w"}, {"b": "2"}),
        validate_table="data",
        feed=FileFeed(format="csv", file_num=2, options={"header": "true"}),
        python=PythonEnv(path="python", version="3.11", flags=("-u", "-W", "a b"), envs={"A": "b", "C": "1"}, timeout=60.0),
        keep_versions=3,
        greater_is_better=False,
        fail_on="any",
        keep_local_directory=True,
    )


def test_environments_of_scripts_are_found_beside_the_mlsql_script(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==2.0\n")
    options = "systemParam.requirements='requirements.txt' and systemParam.archives='env.zip#env, s3://b/e.tgz'"
    made = one(f"{DATA} train data as PythonAlg.`/m` where pythonScriptPath='/t.py' and {options};", folder=tmp_path)
    assert made.python == PythonEnv(requirements="numpy==2.0\n", archives=(f"{tmp_path}/env.zip#env", "s3://b/e.tgz"))


def test_run_is_train() -> None:
    assert one(f'{DATA} RUN data as PythonAlg.`/m` options pythonScriptPath="/t.py";') == TRAIN


def test_keep_version_false_keeps_one() -> None:
    made = train('and keepVersion="false"')
    assert isinstance(made, Train)
    assert made.keep_versions == 1


KAFKA = """and enableDataLocal="false" and kafkaParam.bootstrap.servers="b:9092" and kafkaParam.topic="orders" """


def test_kafka() -> None:
    made = train(KAFKA + "and kafkaParam.group_id='readers' and kafkaParam.topic.partitions='4' and kafkaParam.userName='me'")
    assert isinstance(made, Train)
    assert made.feed == KafkaFeed(topic="orders", group="readers", partitions=4, settings={"bootstrap_servers": "b:9092"})


def test_an_option_with_an_empty_value_is_not_given() -> None:
    """Variables of a DAG that nobody has set are empty."""
    names = ("validateTable", "keepVersions", "keepVersion", "failOn", "scoreMode", "systemParam.envs", "systemParam.timeout")
    variables = {"unset": "", "none": "None"}
    for variable in variables:
        given = "".join(f' and {name}="${{{variable}}}"' for name in names)
        assert one(f'{DATA} train data as PythonAlg.`/m` where pythonScriptPath="/t.py" {given};', variables=variables) == TRAIN


def test_empty_options_of_kafka_are_not_given() -> None:
    made = train(KAFKA + "and kafkaParam.group_id='' and kafkaParam.reuse='' and kafkaParam.topic.partitions=''")
    assert isinstance(made, Train)
    assert made.feed == KafkaFeed(topic="orders", settings={"bootstrap_servers": "b:9092"})


def test_a_reused_topic_needs_no_table() -> None:
    text = f'train nothing as PythonAlg.`/m` where pythonScriptPath="/t.py" {KAFKA} and kafkaParam.reuse="true";'
    made = compile_script(text)
    (statement,) = made.statements
    assert isinstance(statement, Train)
    assert statement.table is None
    assert made.warnings == ("script.mlsql:1:7: topic 'orders' is reused, so table 'nothing' is not read",)


def secret_train(password: str) -> str:
    sasl = f"""and kafkaParam.security.protocol="SASL_PLAINTEXT" and kafkaParam.sasl.mechanism="PLAIN"
        and kafkaParam.sasl.username="me" and kafkaParam.sasl.password="{password}" """
    return f'train data as PythonAlg.`/m` where pythonScriptPath="/t.py" {KAFKA} {sasl};'


def test_passwords_of_kafka_are_not_in_the_plan() -> None:
    made = compile_script(DATA + secret_train("pw-1") + secret_train("pw-2") + secret_train("pw-1"))
    names = [
        statement.feed.secrets
        for statement in made.statements
        if isinstance(statement, Train) and hasattr(statement.feed, "secrets")
    ]
    assert names == ["kafka", "kafka2", "kafka"]
    assert made.secrets.kafka == {"kafka": {"sasl_plain_password": "pw-1"}, "kafka2": {"sasl_plain_password": "pw-2"}}
    assert "pw-" not in repr(made)


def test_kafka_settings_are_ignored_when_data_go_by_file() -> None:
    assert train('and enableDataLocal="true" and kafkaParam.topic="!" and kafkaParam.any.thing="x"') == TRAIN


def warnings_of(options: str) -> tuple[str, ...]:
    made: CompiledScript = compile_script(f'{DATA}\ntrain data as PythonAlg.`/m` where pythonScriptPath="/t.py" {options};')
    return made.warnings


def test_kafka_settings_without_a_choice_are_warned_about() -> None:
    (warning,) = warnings_of('and kafkaParam.topic="t"')
    assert warning.startswith("script.mlsql:2:7: ")
    assert 'enableDataLocal="false"' in warning


def test_obsolete_options_warn_once_each() -> None:
    warnings = warnings_of('and mlflowPath="x" and useThread="true"')
    assert [warning.split("'")[1] for warning in warnings] == ["mlflowPath", "useThread"]


def test_register() -> None:
    made = one(
        f"""{DATA} register PythonAlg.`/m` as jack options pythonScriptPath="/p.py" and algIndex="1" and modelVersion="2"
        and enableCopyTrainParamsToPython="true" and minScore="0.5" and onlyIfBetter="0" and sampleTable="data";"""
    )
    assert made == Register(
        model_path="/m",
        function="jack",
        script_path="/p.py",
        model_version=2,
        alg_index=1,
        copy_train_params=True,
        min_score=0.5,
        only_if_better=0.0,
        sample_table="data",
    )


def test_predict() -> None:
    text = f"""{DATA} predict data as PythonAlg.`/m` where pythonScriptPath="/b.py" and fitParam.0.x="1" and algIndex="0"
        and modelVersion="3" and sameRows="false" and systemParam.timeout="5" as out; save out as json.`/o`;"""
    made = compile_script(text).statements[1]
    assert made == Predict(
        table="data",
        model_path="/m",
        script_path="/b.py",
        result="out",
        model_version=3,
        alg_index=0,
        params={"x": "1"},
        python=PythonEnv(timeout=5.0),
        same_rows=False,
    )


JACK = FunctionRef(name="jack", model_path="/m", function="jack")
JILL = FunctionRef(name="Jill", model_path="/n", function="jill", function_version=3)
REGISTER = 'register PythonAlg.`/m` as jack where pythonScriptPath="/p.py";'


@pytest.mark.parametrize(
    ("sql", "functions"),
    [
        ("select jack(x)", (JACK,)),
        ("select JACK (x), jill(y), jack(z)", (JACK, JILL)),
        ("select `jill`(y), `jack`(x)", (JILL, JACK)),
        ("select jack /* see */ (x)", (JACK,)),
        ("select jack, 'jack(x)' -- jack(x)\n", ()),
        ("select a.jack(x), jacky(x)", ()),
    ],
)
def test_functions_that_a_query_calls(sql: str, functions: tuple[FunctionRef, ...]) -> None:
    made = one(f"{REGISTER} {sql} from t as u;", functions=[JILL])
    assert isinstance(made, Select)
    assert made.functions == functions


def test_a_function_is_called_only_after_it_is_registered() -> None:
    made = compile_script(f"select jack(x) as t; {REGISTER}").statements[0]
    assert made == Select(table="t", sql="select jack(x)")


@pytest.mark.parametrize("path", ["/t.py", "s3://b/t.py", "file:/t.py"])
def test_whole_script_paths_stay(path: str) -> None:
    made = one(f"{DATA} train data as PythonAlg.`/m` where pythonScriptPath='{path}';", folder="/f")
    assert isinstance(made, Train)
    assert made.script_path == path


def test_relative_script_paths_start_at_the_folder() -> None:
    text = f"{DATA} train data as PythonAlg.`/m` where pythonScriptPath='lib/../t.py';"
    there, nowhere = one(text, folder="/f"), one(text)
    assert isinstance(there, Train)
    assert isinstance(nowhere, Train)
    assert (there.script_path, nowhere.script_path) == ("/f/t.py", "lib/../t.py")
