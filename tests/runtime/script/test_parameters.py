"""The parameters of a script, and estimators that are configured with them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest

Run = Callable[..., Any]
ImportMlsql = Callable[..., Any]


def test_a_script_finds_its_parameters(run: Run) -> None:
    source = """
import json, mlsql
print(json.dumps({
    "params": mlsql.params(),
    "fit": mlsql.fit_param,
    "kafka": mlsql.kafka_param,
    "model": mlsql.internal_system_param["tempModelLocalPath"],
    "given": mlsql.get_param(mlsql.fit_param, "alpha", "9"),
    "default": mlsql.get_param(mlsql.fit_param, "beta", 9),
}))
"""
    ran = run(source, fit_param={"alpha": "0.1", "größe": "大"})
    assert ran.outcome.problem is None, ran.lines
    found = json.loads(ran.lines[0])
    assert set(found["params"]) == {"fitParam", "kafkaParam", "internalSystemParam", "systemParam"}
    assert found["params"]["fitParam"] == found["fit"] == {"alpha": "0.1", "größe": "大"}
    assert found["params"]["systemParam"] == {"pythonVer": "3"}
    assert (found["kafka"], found["given"], found["default"]) == ({}, "0.1", 9)
    assert found["model"] == found["params"]["internalSystemParam"]["tempModelLocalPath"]


def test_parameters_are_plain_dicts_once_they_are_pickled(import_mlsql: ImportMlsql) -> None:
    kinds = import_mlsql(fit_param={"alpha": "0.1"}).params()
    assert [isinstance(each, dict) for each in kinds.values()] == [True] * 4
    kept = pickle.loads(pickle.dumps(kinds))
    assert kept == kinds
    assert [type(each) is dict for each in kept.values()] == [True] * 4


class Estimator:
    """It is configured as scikit-learn's are."""

    def __init__(self) -> None:
        self.values = {"flag": True, "count": 10, "rate": 0.1, "seed": None, "kind": "auto", "sizes": (100,), "weights": None}

    def get_params(self) -> dict[str, Any]:
        return dict(self.values)

    def set_params(self, **params: Any) -> None:
        self.values.update(params)


def configured(import_mlsql: ImportMlsql, fit_param: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of an estimator after it was configured, as Python writes them."""
    estimator = Estimator()
    import_mlsql(fit_param=fit_param).sklearn_configure_params(estimator)
    return {name: repr(value) for name, value in estimator.values.items()}


def test_estimators_are_configured_with_typed_values(import_mlsql: ImportMlsql) -> None:
    fit_param = {
        "flag": "false",
        "count": "25",
        "rate": "1",
        "seed": "7",
        "kind": "ball_tree",
        "sizes": "[10, 20]",
        "weights": "balanced",
        "batchSize": "64",
    }
    assert configured(import_mlsql, fit_param) == {
        "flag": "False",
        "count": "25",
        "rate": "1",
        "seed": "7",
        "kind": "'ball_tree'",
        "sizes": "[10, 20]",
        "weights": "'balanced'",
    }


def test_words_are_left_to_the_estimator_to_judge(import_mlsql: ImportMlsql) -> None:
    assert configured(import_mlsql, {"rate": "sqrt", "kind": "0.5"})["rate"] == "'sqrt'"


def test_none_and_other_notations_are_typed(import_mlsql: ImportMlsql) -> None:
    fit_param = {"flag": " TRUE ", "rate": "1e-3", "seed": "None", "kind": "brute", "sizes": "(5,)", "weights": "{0: 2.5}"}
    assert configured(import_mlsql, fit_param) == {
        "flag": "True",
        "count": "10",
        "rate": "0.001",
        "seed": "None",
        "kind": "'brute'",
        "sizes": "(5,)",
        "weights": "{0: 2.5}",
    }


@pytest.mark.parametrize(("name", "value"), [("flag", "perhaps"), ("count", "(1, 2)"), ("rate", "0,1")])
def test_a_value_of_another_type_is_refused_by_name(import_mlsql: ImportMlsql, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf"\.{name} is ") as caught:
        configured(import_mlsql, {name: value})
    assert f"{name} is {value!r}" in str(caught.value)
