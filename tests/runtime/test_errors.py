from __future__ import annotations

import json
from typing import Any

import pytest

from mlsql_runtime import errors
from mlsql_runtime.errors import InputError, JobFailed, MLSQLError, ScriptFailed, StorageError

CLASSES = [
    "MLSQLError",
    "InputError",
    "FormatError",
    "OptionError",
    "DataError",
    "ScriptNotFound",
    "InterpreterError",
    "PythonVersionError",
    "EnvironmentBuildError",
    "PreflightFailed",
    "VersionNotFound",
    "IntegrityError",
    "FileMissing",
    "ScriptFailed",
    "TrainingFailed",
    "StorageError",
    "KafkaRefused",
    "Refused",
    "KafkaUnavailable",
    "SessionNeeded",
    "JobFailed",
    "ClusterUnavailable",
]
BY_THE_USER = {
    "InputError",
    "FormatError",
    "OptionError",
    "DataError",
    "ScriptNotFound",
    "InterpreterError",
    "PythonVersionError",
    "EnvironmentBuildError",
    "PreflightFailed",
    "VersionNotFound",
    "KafkaRefused",
    "Refused",
    "ScriptFailed",
    "TrainingFailed",
}


def test_every_error_class_is_known_here() -> None:
    found = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, MLSQLError)}
    assert found == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_crosses_json_as_the_same_class(name: str) -> None:
    error = getattr(errors, name)("row 3: größer", path="/m", expected=4, tails={"0": ["a", "b"]})
    back = errors.from_json(json.loads(json.dumps(errors.to_json(error))))
    assert type(back) is type(error)
    assert (vars(back), str(back)) == (vars(error), "row 3: größer")


def test_statement_and_origin_of_an_error_cross_json() -> None:
    error = errors.DataError("no rows", statement=2, table="t").with_origin(errors.Origin("a.mlsql", 3, 1))
    assert error.message == str(error) == "a.mlsql:3:1: no rows"
    back = errors.from_json(json.loads(json.dumps(errors.to_json(error))))
    assert (type(back), back.statement, back.origin, back.facts) == (type(error), 2, error.origin, {"table": "t"})


def test_the_attributes_of_an_option_error_cross_json() -> None:
    error = errors.OptionError(name="fail_on", got="'some'", expected="all or any", statement=1)
    back = errors.from_json(json.loads(json.dumps(errors.to_json(error))))
    assert isinstance(back, errors.OptionError)
    assert (back.name, back.got, back.expected, back.statement) == ("fail_on", "'some'", "all or any", 1)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"kind": ["x"], "message": "m", "facts": {}},
        {"kind": "DataError", "message": 7, "facts": {}},
        {"kind": "DataError", "message": "m", "facts": []},
        {"kind": "DataError", "message": "m", "facts": {}, "statement": "1"},
        {"kind": "DataError", "message": "m", "facts": {}, "origin": {"file": "f"}},
        {"kind": "DataError", "message": "m", "facts": {}, "origin": {"file": "f", "line": 1, "column": "x"}},
        {"kind": "x", "message": {"a": [[[["deep"] * 1000] * 1000] * 1000]}},
    ],
)
def test_what_is_no_error_becomes_job_failed_with_a_short_message(document: dict[str, Any]) -> None:
    error = errors.from_json(document)
    assert type(error) is JobFailed
    assert error.message.startswith("the error of the job cannot be read: {")
    assert len(error.message) < 500


def test_facts_that_have_the_names_of_parameters_are_left_out() -> None:
    facts = {"message": 1, "statement": 2, "origin": 3, "self": 4, "a": 5}
    assert errors.from_json({"kind": "DataError", "message": "m", "facts": facts}).facts == {"a": 5}


def test_an_unknown_kind_becomes_job_failed() -> None:
    error = errors.from_json({"kind": "InventedLater", "message": "boom", "facts": {"a": 1}})
    assert type(error) is JobFailed
    assert (error.message, error.facts) == ("boom", {"a": 1})


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "MLSQLError"])
def test_errors_of_the_user_differ_from_those_of_the_environment(name: str) -> None:
    assert issubclass(getattr(errors, name), (InputError, ScriptFailed)) == (name in BY_THE_USER)


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("modelPaht", ["model_path", "table"], "; did you mean 'model_path'?"),
        ("modelPath", ["model_path", "table"], "; did you mean 'model_path'?"),
        ("zzz", ["b", "a"], "; known are a, b"),
        ("zzz", [], ""),
    ],
)
def test_the_nearest_known_word_is_named(word: str, known: list[str], expected: str) -> None:
    assert errors.did_you_mean(word, known) == expected


def test_an_error_without_facts_can_be_raised() -> None:
    with pytest.raises(StorageError) as caught:
        raise StorageError("/m cannot be listed")
    assert (caught.value.message, caught.value.facts) == ("/m cannot be listed", {})


def test_the_middle_of_a_very_long_message_is_left_out() -> None:
    assert len(InputError("x" * errors.MAX_MESSAGE).message) == errors.MAX_MESSAGE
    error = InputError(f"/a/file has {'x' * 70_000}; expected less")
    assert error.message.startswith("/a/file has xxx")
    assert error.message.endswith("xxx; expected less")
    assert len(error.message) == len(str(error)) == errors.MAX_MESSAGE
