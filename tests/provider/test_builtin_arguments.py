"""The argument ``builtin`` of the operators, in place of a script."""

from __future__ import annotations

from typing import Any

import pytest
from support.operators import register, train

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import (
    PythonEnv,
    Register,
    Train,
)

SVC = {"moduleName": "sklearn.svm", "className": "SVC"}


def test_a_built_in_algorithm_needs_no_script() -> None:
    _, statement = train(python_script_path=None, builtin="sklearn", fit_params=[SVC], seed="7").build_job().statements
    wanted = Train(table="data", model_path="/m", script_path="builtin:sklearn", fit_params=(SVC,), python=PythonEnv(seed=7))
    assert statement == wanted
    (statement,) = (
        register(python_script_path=None, builtin="sklearn", script_params='{"method": "predict_proba"}').build_job().statements
    )
    assert statement == Register(
        model_path="/m", function="jack", script_path="builtin:sklearn", params={"method": "predict_proba"}
    )


def test_a_training_needs_a_script_when_the_dag_is_read_and_a_registration_none() -> None:
    with pytest.raises(InputError, match=r"no script is given; name one as python_script_path, or .* as builtin: 'sklearn'"):
        train(python_script_path=None)
    assert register(python_script_path=None).build_job().statements == (Register(model_path="/m", function="jack"),)


@pytest.mark.parametrize("operator", [train, register])
def test_a_script_and_a_built_in_algorithm_are_not_given_both_when_the_dag_is_read(operator: Any) -> None:
    with pytest.raises(InputError, match=r"both python_script_path '/t\.py' and builtin 'sklearn' are given"):
        operator(python_script_path="/t.py", builtin="sklearn")
    with pytest.raises(InputError, match=r"there is no built-in algorithm 'sklern'; did you mean 'sklearn'\?"):
        operator(python_script_path=None, builtin="sklern")
    with pytest.raises(InputError, match="which is not a path; write builtin 'sklearn' instead"):
        operator(python_script_path="builtin:sklearn")


def test_either_may_come_of_a_template() -> None:
    operator = train(python_script_path="{{ params.script }}", builtin="{{ params.builtin }}", fit_params=[SVC])
    train(python_script_path=None, builtin="{{ params.builtin }}")
    train(python_script_path="{{ params.script }}")
    train(python_script_path="{{ params.script }}", builtin="sklearn")
    operator.python_script_path, operator.builtin = "", "sklearn"  # as rendered
    assert operator.build_job().statements[-1].script_path == "builtin:sklearn"
    operator.python_script_path, operator.builtin = "/t.py", "None"
    assert operator.build_job().statements[-1].script_path == "/t.py"
    operator.python_script_path, operator.builtin = None, None
    with pytest.raises(InputError, match="no script is given"):
        operator.build_job()


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ([{}], "fitParam.0.moduleName is not given; the built-in algorithm needs it, such as 'sklearn.svm'"),
        ([SVC, {"moduleName": "sklearn.svm"}], "fitParam.1.className is not given"),
        ([SVC | {"moduleName": "sklearn svm"}], "expected a name such as 'sklearn.svm'"),
        ([SVC | {"moduleName": "sklearn._svm"}], "which is private"),
    ],
)
def test_a_built_in_algorithm_needs_an_estimator(params: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        train(python_script_path=None, builtin="sklearn", fit_params=params).build_job()
