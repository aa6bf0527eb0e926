"""Any plan that MLSQL can say, written as MLSQL, compiles to itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlsql_runtime.language import compile_script
from mlsql_runtime.language.unsupported import LOAD_OPTIONS, SAVE_OPTIONS
from mlsql_runtime.plan import (
    MAX_SEED,
    FileFeed,
    KafkaFeed,
    Load,
    Plan,
    Predict,
    PythonEnv,
    Register,
    Save,
    Select,
    Train,
    dump_plan,
    get_builtin_name,
    to_builtin_path,
)
from mlsql_runtime.plan.names import RESOURCE
from mlsql_runtime.plan.parsers import FLAGS, is_nothing

_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "T")  # which is t
_ANY = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'`\\${};"), max_size=12)
_TEXT = _ANY.filter(lambda text: bool(text.strip()) and not is_nothing(text))  # None means not given
_PATHS = _TEXT.filter(lambda text: not text.startswith("~"))  # which is a home folder
_NUMBERS = st.none() | st.integers(0, 10**9)
_COUNTS = st.none() | st.integers(1, 10**9)
_SCORES = st.none() | st.floats(0, 1e6)
_REFUSED = frozenset((*LOAD_OPTIONS, *SAVE_OPTIONS, RESOURCE))  # Hypothesis draws texts that it finds in the code
_KEYS = _TEXT.filter(lambda text: text not in _REFUSED)
_OPTIONS = st.dictionaries(_KEYS, _ANY, max_size=3)
_OTHERS = st.dictionaries(st.from_regex(r"x_[a-z]{1,4}", fullmatch=True), _ANY, max_size=2)  # no option of a statement
_TABLE = Load(table="t", format="csv", path="/d")

_PYTHON = st.builds(
    PythonEnv,
    path=st.none() | _TEXT,
    version=st.sampled_from([None, "3", "3.11"]),
    flags=st.lists(_ANY, max_size=2).map(tuple),
    envs=_OPTIONS,
    timeout=st.none() | st.floats(0.1, 1e6),
    seed=st.none() | st.integers(0, MAX_SEED),
)
_FILES = st.builds(FileFeed, format=st.sampled_from(["json", "csv"]), file_num=_COUNTS, options=_OPTIONS)
_KAFKA = st.builds(
    KafkaFeed,
    topic=_NAMES,
    group=st.none() | _NAMES,
    keep=st.booleans(),
    partitions=_COUNTS,
    settings=st.just({"bootstrap_servers": "b:1"}),
)
_GROUPS = st.just([{}]) | st.lists(st.dictionaries(_KEYS, _ANY, min_size=1, max_size=3), min_size=1, max_size=3)
_STATEMENTS = st.one_of(
    st.builds(Load, table=_NAMES, format=st.sampled_from(["csv", "a.b.C"]), path=_PATHS, options=_OPTIONS),
    st.builds(Load, table=_NAMES, format=st.sampled_from(["json", "csv"]), text=_ANY, options=_OPTIONS),
    st.builds(Select, table=_NAMES, sql=_ANY.map(lambda text: f"select {json.dumps(text)} as a -- ;\n from t")),
    st.builds(
        Save,
        table=st.just("t"),
        format=st.just("orc"),
        path=_PATHS,
        mode=st.sampled_from(["overwrite", "append", "errorIfExists", "ignore"]),
        options=_OPTIONS,
        partition_by=st.lists(_TEXT, max_size=2).map(tuple),
        file_num=_COUNTS,
    ),
    st.builds(
        Save,
        table=st.just("t"),
        format=st.just("table"),
        path=_TEXT,
        mode=st.sampled_from(["overwrite", "append"]),
        using=st.none() | _TEXT,
    ),
    st.builds(
        Train,
        table=st.just("t"),
        model_path=_TEXT,
        script_path=_TEXT,
        fit_params=_GROUPS.map(tuple),
        validate_table=st.sampled_from([None, "t"]),
        feature_columns=st.lists(_TEXT, max_size=3, unique_by=str.lower).map(tuple),
        label_column=st.none() | st.just("the label"),
        keep_sample_rows=st.booleans(),
        feed=_FILES | _KAFKA,
        python=_PYTHON,
        keep_versions=_COUNTS,
        greater_is_better=st.booleans(),
        fail_on=st.sampled_from(["all", "any"]),
        keep_script=st.booleans(),
        keep_local_directory=st.booleans(),
        description=st.none() | _TEXT,
        tracking_uri=st.none() | st.just("http://mlflow:5000"),
        experiment=st.none() | _TEXT,
        result=st.none() | _NAMES,
    ),
    st.builds(
        Train,
        table=st.just("t"),
        model_path=_TEXT,
        script_path=_TEXT,
        validate_fraction=st.floats(0.01, 0.99),
        stratify=st.booleans(),
    ),
    st.builds(
        Register,
        model_path=_TEXT,
        function=_NAMES,
        script_path=st.none() | _TEXT,
        model_version=_NUMBERS,
        alg_index=_NUMBERS,
        copy_train_params=st.booleans(),
        min_score=_SCORES,
        only_if_better=_SCORES,
        sample_table=st.sampled_from([None, "t"]),
        params=_OPTIONS,
        envs=_OPTIONS,
        tracking_uri=st.just("http://mlflow:5000"),
        registered_model=st.none() | _TEXT,
        others=_OTHERS,
    ),
    st.builds(
        Train,
        table=st.just("t"),
        model_path=_TEXT,
        script_path=st.just(to_builtin_path("sklearn")),
        fit_params=_OPTIONS.map(lambda own: (own | {"moduleName": "sklearn.svm", "className": "SVC"},)),
        python=_PYTHON,
    ),
    st.builds(
        Predict,
        table=st.just("t"),
        model_path=_TEXT,
        script_path=st.none() | _TEXT,
        result=_NAMES,
        model_version=_NUMBERS,
        alg_index=_NUMBERS,
        params=_OPTIONS,
        python=_PYTHON,
        same_rows=st.booleans(),
        others=_OTHERS,
    ),
)


def back_quoted(text: str) -> str:
    return "`" + text.replace("`", "``").replace("${", "\\${") + "`"


def quoted(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${") + "'"


def options(given_options: Mapping[str, Any]) -> str:
    pairs = [f"{back_quoted(key)}={quoted(value)}" for key, value in given_options.items() if value is not None]
    return "where " + " and ".join(pairs)


def prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + key: value for key, value in values.items()}


def system(python: PythonEnv) -> dict[str, Any]:
    values = {
        "pythonPath": python.path,
        "pythonVer": python.version,
        "pythonParam": FLAGS.format(python.flags),
        "envs": json.dumps(dict(python.envs)),
        "timeout": python.timeout,
        "seed": python.seed,
    }
    return prefixed("systemParam.", values)


def script(path: str) -> dict[str, Any]:
    builtin = get_builtin_name(path)
    return {"pythonScriptPath": path} if builtin is None else {"builtin": builtin}


def feed(made: FileFeed | KafkaFeed) -> dict[str, Any]:
    if isinstance(made, FileFeed):
        return {"dataLocalFormat": made.format, "dataLocalFileNum": made.file_num, **prefixed("dataLocal.option.", made.options)}
    values = {
        "bootstrap.servers": "b:1",
        "topic": made.topic,
        "group_id": made.group,
        "keep": made.keep,
        "topic.partitions": made.partitions,
    }
    return {"enableDataLocal": False, **prefixed("kafkaParam.", values)}


def written(made: Any) -> str:
    """A statement as MLSQL."""
    match made:
        case Load() if made.text is not None:
            loaded = f"load {made.format}Str.`text` {options(made.options)} as {made.table};"
            return f"set text={quoted(made.text)};\n{loaded}"
        case Load():
            return f"load {made.format}.{back_quoted(made.path or '')} {options(made.options)} as {made.table};"
        case Select():
            return f"{made.sql.replace('${', chr(92) + '${')} as {made.table};"
        case Save():
            columns = ", ".join(map(back_quoted, made.partition_by))
            given = options({"fileNum": made.file_num, "using": made.using, **made.options})
            target = f"{made.format}.{back_quoted(made.path or '')} {given}"
            return f"save {made.mode} {made.table} as {target} {f'partitionBy {columns}' if columns else ''};"
        case Train():
            groups = {f"fitParam.{i}.{key}": value for i, group in enumerate(made.fit_params) for key, value in group.items()}
            values = {
                **script(made.script_path),
                "validateTable": made.validate_table,
                "validateFraction": made.validate_fraction,
                "stratify": made.stratify,
                "featureCols": json.dumps(made.feature_columns) if made.feature_columns else None,
                "labelCol": made.label_column,
                "keepSampleRows": made.keep_sample_rows,
                "keepVersions": made.keep_versions,
                "scoreMode": "max" if made.greater_is_better else "min",
                "failOn": made.fail_on,
                "keepScript": made.keep_script,
                "keepLocalDirectory": made.keep_local_directory,
                "description": made.description,
                "mlflowTrackingUri": made.tracking_uri,
                "mlflowExperiment": made.experiment,
            }
            everything = values | groups | feed(made.feed) | system(made.python)
            result = f" as {made.result}" if made.result else ""
            return f"train t as PythonAlg.{back_quoted(made.model_path)} {options(everything)}{result};"
        case Register():
            values = {
                "pythonScriptPath": made.script_path,
                "modelVersion": made.model_version,
                "algIndex": made.alg_index,
                "enableCopyTrainParamsToPython": made.copy_train_params,
                "minScore": made.min_score,
                "onlyIfBetter": made.only_if_better,
                "sampleTable": made.sample_table,
                "mlflowTrackingUri": made.tracking_uri,
                "mlflowRegisteredModel": made.registered_model,
                "systemParam.envs": json.dumps(dict(made.envs)),
                **prefixed("fitParam.0.", made.params),
                **made.others,
            }
            return f"register PythonAlg.{back_quoted(made.model_path)} as {made.function} {options(values)};"
        case Predict():
            values = {
                "pythonScriptPath": made.script_path,
                "modelVersion": made.model_version,
                "algIndex": made.alg_index,
                "sameRows": made.same_rows,
            }
            everything = values | prefixed("fitParam.0.", made.params) | system(made.python) | made.others
            return f"predict t as PythonAlg.{back_quoted(made.model_path)} {options(everything)} as {made.result};"
    raise AssertionError(made)


@given(st.lists(_STATEMENTS, max_size=3))
def test_plans_survive_being_written(made: list[Any]) -> None:
    statements = (_TABLE, *made)
    compiled = compile_script("\n".join(map(written, statements)))
    plans = [Plan(job_id="j", statements=tuple(each)) for each in (statements, compiled.statements)]
    assert dump_plan(plans[1]) == dump_plan(plans[0])
