"""Built-in algorithms in scripts: the plan they give, and mistakes with their places."""

from __future__ import annotations

import pytest

from mlsql_runtime.language import check_script, compile_script
from mlsql_runtime.plan import Register, Train

MARK = "»"
SVC = '`fitParam.0.moduleName`="sklearn.svm" and `fitParam.0.className`="SVC"'


def train(options: str) -> str:
    return f"load a.`b` as data;\ntrain data as PythonAlg.`/m` where {options};"


def test_a_script_needs_no_python() -> None:
    text = train(f'builtin="sklearn" and {SVC} and fitParam.0.C="0.5" and systemParam.seed="7"')
    _, made, registered, _ = compile_script(
        text + "register PythonAlg.`/m` as jack options builtin='sklearn' and fitParam.0.method='predict_proba';"
        "select jack(features) as p from data as predicted;"
    ).statements
    assert isinstance(made, Train)
    assert isinstance(registered, Register)
    assert (made.script_path, made.python.seed) == ("builtin:sklearn", 7)
    assert made.fit_params == ({"moduleName": "sklearn.svm", "className": "SVC", "C": "0.5"},)
    assert (registered.script_path, registered.params) == ("builtin:sklearn", {"method": "predict_proba"})


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        (train(f'builtin=»"sklaern" and {SVC}'), "there is no built-in algorithm 'sklaern'; did you mean 'sklearn'?"),
        (
            train(f'»builtin="sklearn" and pythonScriptPath="/t.py" and {SVC}'),
            "both pythonScriptPath '/t.py' and builtin 'sklearn'",
        ),
        (train('builtin="sklearn"').replace("`/m`", "»`/m`"), "fitParam.0.moduleName is not given"),
        (
            train(f'builtin="sklearn" and {SVC.replace(chr(34) + "SVC", "»" + chr(34) + "not a class")}'),
            "expected a name such as",
        ),
        (train(f'builtin="sklearn" and {SVC.replace(chr(34) + "sklearn.svm", "»" + chr(34) + "sklearn.svm._base")}'), "private"),
        (train(f'builtin="sklearn" and {SVC} and »`fitParam.2.C`="1"'), "there is no fitParam.1"),
        (train(f'builtin="sklearn" and {SVC} and systemParam.seed=»"-1"'), "a whole number from 0 to 4294967295"),
        (
            train(f'builtin="sklearn" and {SVC} and systemParam.seed=»"4294967296"'),
            "expected a whole number from 0 to 4294967295",
        ),
        (
            "register PythonAlg.`/m` as jack options builtin='sklearn' and »fitParam.1.a='1';",
            "there is no fitParam.0, but a group after it",
        ),
        ("register PythonAlg.`/m` as jack options builtin='sklearn' and »method='predict';", "register has no option 'method'"),
    ],
)
def test_mistakes_have_places(text: str, fragment: str) -> None:
    at = text.index(MARK)
    errors = check_script(text.replace(MARK, ""), name="job.mlsql")
    line, column = text[:at].count("\n") + 1, at - text[:at].rfind("\n")
    assert [
        error for error in errors if fragment in error.message and error.message.startswith(f"job.mlsql:{line}:{column}: ")
    ], [error.message for error in errors]


@pytest.mark.parametrize("text", [train(f'builtin="sklaern" and {SVC}'), "register PythonAlg.`/m` as f where builtin='x';"])
def test_an_unknown_algorithm_is_the_only_problem(text: str) -> None:
    (error,) = check_script(text)
    assert "there is no built-in algorithm" in error.message


def test_each_group_without_an_estimator_is_named_at_once() -> None:
    groups = f'{SVC} and `fitParam.1.moduleName`="sklearn.svm" and `fitParam.2.className`="_X"'
    fragment = [error.message.splitlines()[0] for error in check_script(train(f'builtin="sklearn" and {groups}'))]
    assert len(fragment) == 3
    for parameter in ("fitParam.1.className", "fitParam.2.moduleName", "fitParam.2.className"):
        assert any(parameter in message for message in fragment)
