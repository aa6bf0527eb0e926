"""The built-in algorithms for scikit-learn's estimators: which classes they take, and how scripts of theirs run."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from support.builtin_algorithms import FOLDER, name_class

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def scripts() -> Iterator[types.SimpleNamespace]:
    """The modules of the built-in scripts, as the scripts import them."""
    sys.path.insert(0, str(FOLDER))
    try:
        import estimators
        import scores

        yield types.SimpleNamespace(estimators=estimators, scores=scores)
    finally:
        sys.path.remove(str(FOLDER))
        for name in ("estimators", "scores"):
            sys.modules.pop(name, None)


REFUSED = {
    "sklearn.svmm.SVC": "sklearn has no module 'svmm'; did you mean 'svm'?",
    "nowhere.inside.SVC": "there is no package 'nowhere' in ",
    "sklearn.linear_model.LogisticRegresion": "has no class 'LogisticRegresion'; did you mean 'LogisticRegression'?",
    "sklearn.svm.l1_min_c": "sklearn.svm.l1_min_c is a function, not a class",
    "sklearn.metrics.ConfusionMatrixDisplay": "is not an estimator: its bases are object, and scikit-learn's BaseEstimator is",
    "sklearn.base.ClassifierMixin": "is not an estimator",
    "sklearn.ensemble.BaseEnsemble": "sklearn.ensemble.BaseEnsemble is abstract",
    "sklearn.base.BaseEstimator": "does not learn from feature vectors",
    "sklearn.cluster.DBSCAN": "neither predict nor transform",
    "sklearn.model_selection.GridSearchCV": "cannot be made from parameters that are text",
    "sklearn.feature_extraction.text.CountVectorizer": "does not learn from feature vectors",
    "sklearn.preprocessing.LabelEncoder": "does not learn from feature vectors",
    "collections.OrderedDict": "is not an estimator: its bases are dict, object",
}


@pytest.mark.parametrize(("name", "fragment"), REFUSED.items(), ids=REFUSED)
def test_a_class_that_cannot_be_trained_is_refused(scripts: Any, name: str, fragment: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fragment)):
        scripts.estimators.make_estimator(name_class(name))


def test_a_module_that_fails_says_why(scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "breaks_at_once.py").write_text("1 / 0")
    (tmp_path / "lacks_something.py").write_text("import not_installed_here")
    monkeypatch.syspath_prepend(tmp_path)
    for module, fragment in [
        ("breaks_at_once", "ZeroDivisionError"),
        ("lacks_something", "No module named 'not_installed_here'"),
    ]:
        with pytest.raises(ValueError, match=f"{module} cannot be imported: .*{fragment}"):
            scripts.estimators.make_estimator(name_class(f"{module}.X"))


def test_parameters_are_typed_and_unknown_ones_refused(scripts: Any) -> None:
    params = {"n_estimators": "7", "max_features": "3", "bootstrap": "false", "max_depth": "None", "ccp_alpha": "0.5"}
    forest = scripts.estimators.make_estimator(name_class("sklearn.ensemble.RandomForestRegressor", **params))
    wanted = {"n_estimators": 7, "max_features": 3, "bootstrap": False, "max_depth": None, "ccp_alpha": 0.5}
    assert {name: (value, type(value)) for name, value in forest.get_params().items() if name in wanted} == {
        name: (value, type(value)) for name, value in wanted.items()
    }
    for wrong, fragment in [("n_estimator", "did you mean 'n_estimators'?"), ("batchsize", "did you mean 'batchSize'?")]:
        with pytest.raises(ValueError, match=f"has no parameter '{wrong}'; ") as caught:
            scripts.estimators.make_estimator(name_class("sklearn.ensemble.RandomForestRegressor", **{wrong: "1"}))
        assert fragment in str(caught.value)


def test_an_estimator_of_another_package_is_taken(scripts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mean(BaseEstimator):  # type: ignore[misc]
        def __init__(self, shift: float = 0.0) -> None:
            self.shift = shift

        def fit(self, X: Any, y: Any = None) -> Mean:
            return self

        def predict(self, X: Any) -> Any:
            return np.zeros(len(X))

    package = types.ModuleType("another_package")
    package.Mean = Mean  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "another_package", package)
    assert scripts.estimators.make_estimator(name_class("another_package.Mean", shift="2.5")).shift == 2.5


SCORES = [
    ({}, "sklearn.svm.SVC", ("SVC.score", True)),
    ({}, "sklearn.cluster.KMeans", ("KMeans.score", True)),
    ({}, "sklearn.ensemble.IsolationForest", None),
    ({"scorer": "f1"}, "sklearn.svm.SVC", ("f1", True)),
    ({"scorer": "neg_mean_squared_error"}, "sklearn.linear_model.Ridge", ("neg_mean_squared_error", True)),
    ({"scorer": "mean_squared_error"}, "sklearn.linear_model.Ridge", ("mean_squared_error", False)),
]


@pytest.mark.parametrize(("params", "estimator", "wanted"), SCORES)
def test_scores(scripts: Any, params: dict[str, str], estimator: str, wanted: tuple[str, bool] | None) -> None:
    made = scripts.estimators.make_estimator(name_class(estimator, **params))
    score = scripts.scores.make_score(params, made)
    assert (None if score is None else (score.name, score.greater_is_better)) == wanted


def test_a_loss_is_what_scikit_learn_has_the_negative_of(scripts: Any) -> None:
    X, y = np.arange(6.0).reshape(-1, 1), np.array([0.0, 1, 2, 3, 4, 9])
    ridge = scripts.estimators.make_estimator(name_class("sklearn.linear_model.Ridge")).fit(X, y)
    loss, negative = (scripts.scores.make_score({"scorer": f"{prefix}mean_squared_error"}, ridge) for prefix in ("", "neg_"))
    assert loss.of(X, y) == -negative.of(X, y) == pytest.approx(np.mean((ridge.predict(X) - y) ** 2))


def test_an_unknown_scorer_is_refused(scripts: Any) -> None:
    with pytest.raises(ValueError, match=r"has no scorer 'accuracyy'; did you mean 'accuracy'\?"):
        scripts.scores.make_score({"scorer": "accuracyy"}, scripts.estimators.make_estimator(name_class("sklearn.svm.SVC")))
