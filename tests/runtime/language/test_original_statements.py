"""Statements as MLSQL's documents and users write them: each works as there, or is refused with what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from mlsql_runtime.errors import InputError
from mlsql_runtime.language import CompiledScript, compile_script
from mlsql_runtime.plan import Predict, Register, Train

DATA = "load json.`/d` as data;\n"
TRAIN = 'train data as PythonAlg.`/m` where pythonScriptPath="/p"'
PREDICT = "predict data as PythonAlg.`/m`"
REGISTER = "register PythonAlg.`/m` as jack"

#: A statement, and fields of the statement of the plan.
WORKS: list[tuple[str, dict[str, Any]]] = [
    # the project that trained the version
    (f"{REGISTER};", {"script_path": None}),
    (f'{REGISTER} options modelVersion="1";', {"script_path": None, "model_version": 1}),
    (f"{PREDICT} as t;", {"script_path": None, "result": "t"}),
    (f'{REGISTER} options pythonDescPath="/p.py";', {"script_path": "/p.py"}),
    (f'{PREDICT} where pythonDescPath="/p" as t;', {"script_path": "/p"}),
    ('train data as PythonAlg.`/m` where pythonDescPath="/p" and pythonScriptPath="/p";', {"script_path": "/p"}),
    # without a name, and with into
    (f"{PREDICT};", {"result": "predicted"}),
    (f'{PREDICT} where pythonScriptPath="/p.py";', {"result": "predicted", "script_path": "/p.py"}),
    ("select 1 as x as Predicted; " + f"{PREDICT};", {"result": "predicted_2"}),
    ('train data into PythonAlg.`/m` where pythonScriptPath="/p";', {"model_path": "/m"}),
    ('run data into PythonAlg.`/m` where pythonScriptPath="/p" as r;', {"result": "r"}),
    ("predict data into PythonAlg.`/m` as t;", {"result": "t"}),
    ("select 1 as x as into; predict into into PythonAlg.`/m` as t;", {"table": "into"}),
    # and before the first option
    ('load csv.`/d` where and header="true" as t;', {"options": {"header": "true"}}),
    ('load csv.`/d` and header="true" and sep=";" as t;', {"options": {"header": "true", "sep": ";"}}),
    ('save data as csv.`/o` options and header="true";', {"options": {"header": "true"}}),
    ('train data as PythonAlg.`/m` where and pythonScriptPath="/p" and fitParam.0.a="1";', {"fit_params": ({"a": "1"},)}),
    ('train data as PythonAlg.`/m` and pythonScriptPath="/p";', {"script_path": "/p"}),
    (f'{PREDICT} options and algIndex="1" as t;', {"alg_index": 1}),
    (f'{REGISTER} options and algIndex="1";', {"alg_index": 1}),
    # flags separated by commas
    (f'{TRAIN} and systemParam.pythonParam="-u,-O";', {"python.flags": ("-u", "-O")}),
    (f'{TRAIN} and systemParam.pythonParam="-u";', {"python.flags": ("-u",)}),
    (f"{TRAIN} and systemParam.pythonParam=\"-X 'a,b' -W error,\";", {"python.flags": ("-X", "a,b", "-W", "error")}),
    # options of the script
    (f'{PREDICT} where threshold="0.5" and sameRows="false" as t;', {"others": {"threshold": "0.5"}, "same_rows": False}),
    (f'{REGISTER} options my.option="x";', {"others": {"my.option": "x"}}),
    (f"""{REGISTER} options systemParam.envs='{{"A": "b"}}';""", {"envs": {"A": "b"}}),
    # resources of predict and register
    (f'{PREDICT} where fitParam.0.resource.words="/w" as t;', {"params": {"resource.words": "/w"}}),
    (f'{REGISTER} options fitParam.0.resource.words="/w";', {"params": {"resource.words": "/w"}}),
]

#: A statement, and a part of the one warning that it gives.
WARNED = [
    *(
        (f'{TRAIN} and {name}="x";', f"option '{name}' is obsolete and ignored")
        for name in (
            *("systemParam.mlflowPath", "systemParam.mlflowCommand", "systemParam.mlflowParam", "systemParam.useThread"),
            *("mlflowPath", "useThread", "distributeEveryExecutor"),
        )
    ),
    (f'{PREDICT} where systemParam.mlflowPath="x" as t;', "option 'systemParam.mlflowPath' is obsolete and ignored"),
    (
        f'{PREDICT} where threshold="1" as t;',
        "predict has no option 'threshold'; other options reach its script, in mlsql.params()",
    ),
    (
        f'{REGISTER} options threshold="1";',
        "register has no option 'threshold'; other options reach its script, in mlsql.params()",
    ),
    ('connect jdbc where url="jdbc:x";', "connect without an alias has no effect"),
    (f'{TRAIN} and kafkaParam.bootstrap.servers="b:1";', "rows reach the script as files"),
]

#: A statement, and a part of the error.
REFUSED = [
    *((f'{TRAIN} and {name}="x";', f"{name} is not supported") for name in ("scripts", "entryPoint", "partitionKey")),
    (f'{TRAIN} and batchPredictEntryPoint="x";', "name the folder as pythonScriptPath"),
    (f'{TRAIN} and apiPredictEntryPoint="x";', "an MLproject names the script of each statement"),
    (f'{TRAIN} and condaFile="x";', "systemParam.requirements or systemParam.archives"),
    (f'{TRAIN} and projectPath="x";', "no project is generated"),
    (f'{TRAIN} and generateProjectOnly="true";', "no project is generated"),
    (f'{REGISTER} options pythonProjectPath="x";', "name the project as pythonScriptPath"),
    (f'{PREDICT} where scripts="x" as t;', "scripts is not supported"),
    (f'{TRAIN} and pythonDescPath="/q";', "mean the same and name two scripts"),
    (f'{PREDICT} where pythonscriptPath="x" as t;', "did you mean 'pythonScriptPath'?"),
    (f'{PREDICT} where algIndx="1" as t;', "did you mean 'algIndex'?"),
    (f'{REGISTER} options modelversion="1";', "did you mean 'modelVersion'?"),
    (f'{PREDICT} where systemParam.other="x" as t;', "predict has no option 'systemParam.other'"),
    (f'{REGISTER} options systemParam.pythonPath="x";', "a registered function runs in the executors' own Python"),
    (f'{REGISTER} options fitParam.0.`resource./etc`="/w";', "expected a name for the resource"),
    (f'{TRAIN} and unknown="1";', "train has no option 'unknown'"),
    ("load modelParam.`PythonAlg` as t;", "modelParam is not supported"),
    ("load modelParams.`PythonAlg` as t;", "modelParams is not supported"),
    ("load script.`x` as t;", "script is not supported"),
    ("register ScriptUDF.`x` as f;", "ScriptUDF, functions in Scala, Java or Python text, is not supported"),
    ("run data as PythonEnvExt.`/m` where command='create';", "systemParam.requirements"),
    ("run data as PythonParallelExt.`/m` where scripts='x';", "train one fit group for each part"),
    ("train data as DTFAlg.`/m` where a='x';", "train a TensorFlow script in one process"),
    ("train data as SKLearn.`/m` where a='x';", 'builtin="sklearn"'),
    ("train data as RandomForest.`/m` where a='x';", "write it as a Python script"),
]


def compile_last(text: str) -> CompiledScript:
    return compile_script(DATA + text)


@pytest.mark.parametrize(("text", "fields"), WORKS, ids=[text for text, _ in WORKS])
def test_a_statement_works_as_there(text: str, fields: dict[str, Any]) -> None:
    statement = compile_last(text).statements[-1]
    for path, value in fields.items():
        found: Any = statement
        for name in path.split("."):
            found = getattr(found, name)
        assert found == value, path


@pytest.mark.parametrize(("text", "part"), WARNED, ids=[text for text, _ in WARNED])
def test_a_difference_gives_a_warning(text: str, part: str) -> None:
    (warning,) = compile_last(text).warnings
    assert part in warning


@pytest.mark.parametrize(("text", "part"), REFUSED, ids=[text for text, _ in REFUSED])
def test_a_refusal_says_what_to_write_instead(text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        compile_last(text)
    assert part in caught.value.message


def test_the_first_example_of_mlsqls_documents_compiles_as_it_is_written() -> None:
    compiled = compile_script("""
        load libsvm.`sample_libsvm_data.txt` as data;
        train data as PythonAlg.`/tmp/pa_model` where
        pythonScriptPath="/tmp/project" and keepVersion="true"
        and fitParam.0.alpha="0.5" and systemParam.pythonPath="python" and systemParam.pythonVer="3"
        ;
        predict data as PythonAlg.`/tmp/pa_model`;
        register PythonAlg.`/tmp/pa_model` as jack;
        select jack(features) from data as newdata;
    """)
    assert [type(statement) for statement in compiled.statements[1:4]] == [Train, Predict, Register]
    assert compiled.warnings == ()
