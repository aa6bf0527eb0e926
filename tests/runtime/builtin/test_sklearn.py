"""The built-in algorithms for scikit-learn's estimators: which classes they take, and how scripts of theirs run."""

from __future__ import annotations

import json
import pickle
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import mlsql_runtime
from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.script.bundle import read_bundle

FOLDER = Path(mlsql_runtime.__file__).parent / "builtin" / "sklearn"
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


def named(name: str, **params: str) -> dict[str, str]:
    module, _, cls = name.rpartition(".")
    return {"moduleName": module, "className": cls, **params}


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


@pytest.mark.parametrize(("name", "told"), REFUSED.items(), ids=REFUSED)
def test_a_class_that_cannot_be_trained_is_refused(scripts: Any, name: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        scripts.estimators.make_estimator(named(name))


def test_a_module_that_fails_says_why(scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "breaks_at_once.py").write_text("1 / 0")
    (tmp_path / "lacks_something.py").write_text("import not_installed_here")
    monkeypatch.syspath_prepend(tmp_path)
    for module, told in [("breaks_at_once", "ZeroDivisionError"), ("lacks_something", "No module named 'not_installed_here'")]:
        with pytest.raises(ValueError, match=f"{module} cannot be imported: .*{told}"):
            scripts.estimators.make_estimator(named(f"{module}.X"))


def test_parameters_are_typed_and_unknown_ones_refused(scripts: Any) -> None:
    params = {"n_estimators": "7", "max_features": "3", "bootstrap": "false", "max_depth": "None", "ccp_alpha": "0.5"}
    forest = scripts.estimators.make_estimator(named("sklearn.ensemble.RandomForestRegressor", **params))
    wanted = {"n_estimators": 7, "max_features": 3, "bootstrap": False, "max_depth": None, "ccp_alpha": 0.5}
    assert {name: (value, type(value)) for name, value in forest.get_params().items() if name in wanted} == {
        name: (value, type(value)) for name, value in wanted.items()
    }
    for wrong, told in [("n_estimator", "did you mean 'n_estimators'?"), ("batchsize", "did you mean 'batchSize'?")]:
        with pytest.raises(ValueError, match=f"has no parameter '{wrong}'; ") as caught:
            scripts.estimators.make_estimator(named("sklearn.ensemble.RandomForestRegressor", **{wrong: "1"}))
        assert told in str(caught.value)


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
    assert scripts.estimators.make_estimator(named("another_package.Mean", shift="2.5")).shift == 2.5


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
    made = scripts.estimators.make_estimator(named(estimator, **params))
    score = scripts.scores.make_score(params, made)
    assert (None if score is None else (score.name, score.greater_is_better)) == wanted


def test_a_loss_is_what_scikit_learn_has_the_negative_of(scripts: Any) -> None:
    X, y = np.arange(6.0).reshape(-1, 1), np.array([0.0, 1, 2, 3, 4, 9])
    ridge = scripts.estimators.make_estimator(named("sklearn.linear_model.Ridge")).fit(X, y)
    loss, negative = (scripts.scores.make_score({"scorer": f"{prefix}mean_squared_error"}, ridge) for prefix in ("", "neg_"))
    assert loss.of(X, y) == -negative.of(X, y) == pytest.approx(np.mean((ridge.predict(X) - y) ** 2))


def test_an_unknown_scorer_is_refused(scripts: Any) -> None:
    with pytest.raises(ValueError, match=r"has no scorer 'accuracyy'; did you mean 'accuracy'\?"):
        scripts.scores.make_score({"scorer": "accuracyy"}, scripts.estimators.make_estimator(named("sklearn.svm.SVC")))


# -- the scripts, in child processes

ROWS = 60
X = np.random.default_rng(5).normal(size=(ROWS, 3))
NAMES = np.where(X[:, 0] + X[:, 1] > 0, "spam", "ham")


def table(folder: Path, label: pa.Array | None, describe_table: Callable[..., TableFiles]) -> TableFiles:
    folder.mkdir()
    rows = [{"features": {"type": 1, "values": list(x)}} for x in X]
    schema = pa.schema([("features", VECTOR_TYPE)])
    if label is not None:
        rows = [row | {"label": y} for row, y in zip(rows, label.to_pylist(), strict=True)]
        schema = schema.append(pa.field("label", label.type))
    (folder / "part-0.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return describe_table(folder, "json", schema, ROWS)


@pytest.fixture
def named_classes(tmp_path: Path, describe_table: Callable[..., TableFiles]) -> TableFiles:
    return table(tmp_path / "named", pa.array(NAMES.tolist()), describe_table)


@pytest.fixture
def unlabelled(tmp_path: Path, describe_table: Callable[..., TableFiles]) -> TableFiles:
    return table(tmp_path / "unlabelled", None, describe_table)


@pytest.fixture
def train(run: Run) -> Run:
    """Run the built-in training script."""
    bundle = read_bundle("builtin:sklearn", "train")
    others = {name: text.decode() for name, text in bundle.files.items() if name != bundle.entry}

    def run_it(name: str, data: TableFiles, validate: TableFiles | None = None, **params: str) -> Any:
        return run(bundle.files[bundle.entry], files=others, fit_param=named(name, **params), data=data, validate=validate)

    return run_it


def model_of(ran: Any) -> Any:
    assert ran.outcome.problem is None, ran.lines
    return pickle.loads((ran.folder / "model/model.pickle").read_bytes())


def test_an_estimator_learns_all_at_once(train: Run, named_classes: TableFiles) -> None:
    ran = train("sklearn.linear_model.LogisticRegression", named_classes, named_classes, C="0.5")
    model = model_of(ran)
    assert (model.predict(X) == type(model)(C=0.5).fit(X, NAMES).predict(X)).all()
    assert ran.outcome.report.score == pytest.approx(model.score(X, NAMES))
    assert ran.lines[0].endswith("learns on all data at once: LogisticRegression(C=0.5)")
    assert ran.lines[-1] == "classes: 0 is ham, 1 is spam"


def test_one_with_partial_fit_learns_batch_by_batch(train: Run, named_classes: TableFiles) -> None:
    params = {"random_state": "1", "batchSize": "25", "epochs": "3"}
    ran = train("sklearn.linear_model.SGDClassifier", named_classes, named_classes, **params)
    model = model_of(ran)
    wanted = type(model)(random_state=1)
    for _ in range(3):
        for start in range(0, ROWS, 25):
            wanted.partial_fit(X[start : start + 25], NAMES[start : start + 25], classes=["ham", "spam"])
    assert np.array_equal(model.coef_, wanted.coef_)
    assert [line for line in ran.lines if line.startswith("progress")][-1] == "progress: 3 of 3 (100%)"
    assert ran.outcome.report.metrics == {"score": ran.outcome.report.score}


def test_fitting_at_once_can_be_asked_for(train: Run, named_classes: TableFiles) -> None:
    ran = train("sklearn.naive_bayes.GaussianNB", named_classes, incremental="false")
    assert "on all data at once" in ran.lines[0]
    assert (ran.outcome.report.score_lines, ran.outcome.report.score) == (0, None)


@pytest.mark.parametrize(
    ("name", "params", "told"),
    [
        ("sklearn.svm.SVC", {"incremental": "true"}, "SVC has no partial_fit"),
        ("sklearn.svm.SVC", {"incremental": "perhaps"}, "incremental is 'perhaps'; expected true or false"),
        ("sklearn.svm.SVC", {"epochs": "2"}, "SVC is fitted at once"),
        ("sklearn.naive_bayes.GaussianNB", {"epochs": "0"}, "epochs is '0'; expected a whole number of at least 1"),
        ("sklearn.naive_bayes.GaussianNB", {"labelSize": "two"}, "labelSize is 'two'"),
        ("sklearn.svm.SVC", {"kernel": "ball"}, "The 'kernel' parameter of SVC must be"),
    ],
)
def test_wrong_parameters_end_the_script(
    train: Run, named_classes: TableFiles, name: str, params: dict[str, str], told: str
) -> None:
    assert told in train(name, named_classes, **params).outcome.problem


def test_labels_are_needed_where_they_are_learned(train: Run, unlabelled: TableFiles) -> None:
    assert "SVC needs labels, and the table has no column 'label'" in train("sklearn.svm.SVC", unlabelled).outcome.problem
    problem = train("sklearn.naive_bayes.GaussianNB", unlabelled).outcome.problem
    assert "GaussianNB needs labels, and the table has no column 'label'" in problem


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sklearn.cluster.KMeans", {"n_clusters": "3"}),
        ("sklearn.cluster.MiniBatchKMeans", {"n_clusters": "3"}),
        ("sklearn.ensemble.IsolationForest", {"n_estimators": "5"}),
        ("sklearn.decomposition.IncrementalPCA", {"n_components": "2"}),
        ("sklearn.preprocessing.StandardScaler", {}),
    ],
)
def test_others_learn_without_labels(train: Run, unlabelled: TableFiles, name: str, params: dict[str, str]) -> None:
    model = model_of(train(name, unlabelled, unlabelled, **params))
    assert len(model.predict(X) if hasattr(model, "predict") else model.transform(X)) == ROWS


def test_the_seed_is_the_random_state(run: Run, named_classes: TableFiles) -> None:
    bundle = read_bundle("builtin:sklearn", "train")
    others = {name: text.decode() for name, text in bundle.files.items() if name != bundle.entry}
    found = []
    for params in ({}, {"random_state": "5"}):
        forest = named("sklearn.ensemble.RandomForestClassifier", n_estimators="3", **params)
        options = {"fit_param": forest, "system_param": {"seed": "11"}, "data": named_classes}
        found.append(model_of(run(bundle.files[bundle.entry], files=others, **options)).random_state)
    assert found == [11, 5]


@pytest.fixture
def predict(run: Run, tmp_path: Path) -> Callable[..., Any]:
    """Run the built-in predict script as a registration does, and call what it handed over, as a Python worker does."""
    bundle = read_bundle("builtin:sklearn", "register")
    others = {name: text.decode() for name, text in bundle.files.items() if name != bundle.entry}

    def call(model: Any, rows: Any, **params: str) -> Any:
        target = tmp_path / "function.pickle"
        options = {"role": "register", "function_file": str(target), "fit_param": params, "files": others}
        ran = run(bundle.files[bundle.entry], entry=bundle.entry, **options)
        assert ran.outcome.problem is None, ran.lines
        return pickle.loads(target.read_bytes())["predict"](rows, model)

    return call


def test_classes_with_names_are_answered_by_their_places(predict: Callable[..., Any]) -> None:
    model = GaussianNB().fit(X, NAMES)
    places = predict(model, X)
    assert [model.classes_[place] for place in places] == model.predict(X).tolist()
    model.classes_ = model.classes_[::-1]  # another package may have them in another order
    assert [model.classes_[place] for place in predict(model, X)] == model.predict(X).tolist()


def test_numbers_are_answered_as_they_are(predict: Callable[..., Any]) -> None:
    model = GaussianNB().fit(X, np.where(NAMES == "spam", 5.0, 2.0))
    assert np.array_equal(predict(model, X), model.predict(X))
    assert np.array_equal(predict(model, X, method="predict_proba"), model.predict_proba(X))


def test_sparse_rows_are_dense_for_a_model_that_takes_no_others(predict: Callable[..., Any]) -> None:
    model = GaussianNB().fit(X, NAMES)
    assert np.array_equal(predict(model, csr_matrix(X)), predict(model, X))
    wide = csr_matrix((np.ones(3), ([0, 4, 9], [0, 700_000, 999_999])), shape=(10, 1_000_000))  # more than one piece
    model = GaussianNB().fit(np.eye(2, 1_000_000), [0, 1])
    assert np.array_equal(predict(model, wide), model.predict(wide.toarray()))


def test_a_model_without_predict_transforms(predict: Callable[..., Any]) -> None:
    scaler = StandardScaler().fit(X)
    assert np.array_equal(predict(scaler, X), scaler.transform(X))
    encoder = OneHotEncoder().fit(X.round())
    assert np.array_equal(predict(encoder, X.round()).toarray(), encoder.transform(X.round()).toarray())


def test_a_method_that_a_model_has_not_is_named(predict: Callable[..., Any]) -> None:
    with pytest.raises(AttributeError, match="StandardScaler, as it was trained, has no predict_proba"):
        predict(StandardScaler().fit(X), X, method="predict_proba")


def test_the_predict_script_takes_one_parameter(run: Run, tmp_path: Path) -> None:
    bundle = read_bundle("builtin:sklearn", "register")
    others = {name: text.decode() for name, text in bundle.files.items() if name != bundle.entry}
    for params, told in [
        ({"method": "predict_probas"}, "did you mean 'predict_proba'?"),
        ({"methods": "predict"}, "has no parameter 'methods', only 'method'"),
    ]:
        options = {"role": "register", "function_file": str(tmp_path / "f"), "fit_param": params}
        assert told in run(bundle.files[bundle.entry], entry=bundle.entry, files=others, **options).outcome.problem
