from __future__ import annotations

import json

import pytest

from mlsql_runtime import errors
from mlsql_runtime.errors import InputError, JobFailed, MLSQLError, ScriptFailed, StorageError

CLASSES = [
    "MLSQLError",
    "InputError",
    "FormatError",
    "DataError",
    "ScriptNotFound",
    "InterpreterError",
    "PreflightFailed",
    "VersionNotFound",
    "IntegrityError",
    "ScriptFailed",
    "TrainingFailed",
    "StorageError",
    "KafkaRefused",
    "Refused",
    "KafkaUnavailable",
    "JobFailed",
    "ClusterUnavailable",
]
BY_THE_USER = {
    "InputError",
    "FormatError",
    "DataError",
    "ScriptNotFound",
    "InterpreterError",
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
    assert (back.message, back.facts, str(back)) == (error.message, error.facts, "row 3: größer")


def test_an_unknown_kind_becomes_job_failed() -> None:
    error = errors.from_json({"kind": "InventedLater", "message": "boom", "facts": {"a": 1}})
    assert type(error) is JobFailed
    assert (error.message, error.facts) == ("boom", {"a": 1})


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "MLSQLError"])
def test_what_the_user_wrote_can_be_told_from_the_world_around_it(name: str) -> None:
    assert issubclass(getattr(errors, name), (InputError, ScriptFailed)) == (name in BY_THE_USER)


def test_the_last_error_of_ours_is_found_in_a_traceback() -> None:
    text = (
        "Traceback (most recent call last):\n"
        '  File "a.py", line 1, in f\n'
        "mlsql_runtime.errors.StorageError: /m cannot be listed\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n"
        "mlsql_runtime.errors.DataError: column 'x': expected vectors of width 3  \n"
        "\tat org.apache.spark.api.python.BasePythonRunner\n"
    )
    error = errors.from_traceback(text)
    assert type(error) is errors.DataError
    assert error.message == "column 'x': expected vectors of width 3"


@pytest.mark.parametrize("text", ["", "ValueError: no", "see mlsql_runtime.errors.DataError: quoted in a line"])
def test_a_traceback_without_an_error_of_ours_gives_none(text: str) -> None:
    assert errors.from_traceback(text) is None


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
