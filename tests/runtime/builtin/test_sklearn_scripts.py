"""The built-in scripts for scikit-learn's estimators: what they train, print and predict."""

from __future__ import annotations

import functools
import json
import pickle
import re
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from support.builtin_algorithms import FOLDER, name_class

from mlsql_runtime.feed.decoding.vectors import VECTOR_TYPE
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.script.protocol import ScriptReport

Run = Callable[..., Any]
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


def other_files(bundle: ScriptBundle) -> dict[str, str]:
    return {name: text.decode() for name, text in bundle.files.items() if name != bundle.entry}


def run_here(name: str) -> None:
    """Run a built-in script in this process, which has imported scikit-learn already."""
    with pytest.MonkeyPatch.context() as modules:
        modules.syspath_prepend(FOLDER)
        for own in ("columns", "estimators", "scores"):
            modules.delitem(sys.modules, own, raising=False)
        try:
            runpy.run_path(str(FOLDER / name), run_name="__main__")
        finally:
            for own in ("columns", "estimators", "scores"):
                sys.modules.pop(own, None)


@dataclass(frozen=True)
class Trained:
    """What a training script printed, and the model that it saved."""

    model: Any
    lines: list[str]
    report: ScriptReport


@pytest.fixture
def train(
    import_mlsql: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Trained]:
    """Run the built-in training script."""

    def run_it(
        name: str, data: TableFiles, validate: TableFiles | None = None, seed: str | None = None, **params: str
    ) -> Trained:
        system = None if seed is None else {"seed": seed}
        import_mlsql(fit_param=name_class(name, **params), data=data, validate=validate, system_param=system)
        monkeypatch.setattr("mlsql.reporting._stdout", None)  # standard output is what pytest has for it now
        run_here("train.py")
        report = ScriptReport()
        lines = [report.read(line).text for line in capsys.readouterr().out.splitlines()]
        return Trained(pickle.loads((tmp_path / "model/model.pickle").read_bytes()), lines, report)

    return run_it


def test_an_estimator_learns_all_at_once(run: Run, named_classes: TableFiles) -> None:
    """In a child process, as in a job."""
    bundle = read_bundle("builtin:sklearn", "train")
    params = name_class("sklearn.linear_model.LogisticRegression", C="0.5")
    options = {"files": other_files(bundle), "fit_param": params, "data": named_classes, "validate": named_classes}
    ran = run(bundle.files[bundle.entry], **options)
    assert ran.outcome.problem is None, ran.lines
    model = pickle.loads((ran.folder / "model/model.pickle").read_bytes())
    assert (model.predict(X) == type(model)(C=0.5).fit(X, NAMES).predict(X)).all()
    assert ran.outcome.report.score == pytest.approx(model.score(X, NAMES))
    assert ran.lines[0].endswith("learns on all data at once: LogisticRegression(C=0.5)")
    assert ran.lines[-1] == "classes: 0 is ham, 1 is spam"


def test_one_with_partial_fit_learns_batch_by_batch(train: Callable[..., Trained], named_classes: TableFiles) -> None:
    params = {"random_state": "1", "batchSize": "25", "epochs": "3"}
    trained = train("sklearn.linear_model.SGDClassifier", named_classes, named_classes, **params)
    wanted = type(trained.model)(random_state=1)
    for _ in range(3):
        for start in range(0, ROWS, 25):
            wanted.partial_fit(X[start : start + 25], NAMES[start : start + 25], classes=["ham", "spam"])
    assert np.array_equal(trained.model.coef_, wanted.coef_)
    assert [line for line in trained.lines if line.startswith("progress")][-1] == "progress: 3 of 3 (100%)"
    assert trained.report.metrics == {"score": trained.report.score}


def test_fitting_at_once_can_be_asked_for(train: Callable[..., Trained], named_classes: TableFiles) -> None:
    trained = train("sklearn.naive_bayes.GaussianNB", named_classes, incremental="false")
    assert "on all data at once" in trained.lines[0]
    assert (trained.report.score_lines, trained.report.score) == (0, None)


@pytest.mark.parametrize(
    ("name", "params", "fragment"),
    [
        ("sklearn.svm.SVC", {"incremental": "true"}, "SVC has no partial_fit"),
        ("sklearn.svm.SVC", {"incremental": "perhaps"}, "incremental is 'perhaps'; expected true or false"),
        ("sklearn.svm.SVC", {"epochs": "2"}, "SVC is fitted at once"),
        ("sklearn.naive_bayes.GaussianNB", {"epochs": "0"}, "epochs is '0'; expected a whole number of at least 1"),
        ("sklearn.naive_bayes.GaussianNB", {"labelSize": "two"}, "labelSize is 'two'"),
        ("sklearn.naive_bayes.GaussianNB", {"labelSize": "2"}, "labels are 0 to 1, but the table has 'ham', 'spam'"),
        ("sklearn.svm.SVC", {"kernel": "ball"}, "The 'kernel' parameter of SVC must be"),
    ],
)
def test_wrong_parameters_are_refused(
    train: Callable[..., Trained], named_classes: TableFiles, name: str, params: dict[str, str], fragment: str
) -> None:
    with pytest.raises(ValueError, match=fragment):
        train(name, named_classes, **params)


@pytest.mark.parametrize("name", ["sklearn.svm.SVC", "sklearn.naive_bayes.GaussianNB"])
def test_labels_are_needed_where_they_are_learned(train: Callable[..., Trained], unlabelled: TableFiles, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name.rpartition('.')[2]} needs labels, and the table has no column 'label'"):
        train(name, unlabelled)


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
def test_others_learn_without_labels(
    train: Callable[..., Trained], unlabelled: TableFiles, name: str, params: dict[str, str]
) -> None:
    model = train(name, unlabelled, unlabelled, **params).model
    assert len(model.predict(X) if hasattr(model, "predict") else model.transform(X)) == ROWS


@pytest.mark.parametrize(("params", "expected"), [({}, 11), ({"random_state": "5"}, 5)])
def test_the_seed_is_the_random_state(
    train: Callable[..., Trained], named_classes: TableFiles, params: dict[str, str], expected: int
) -> None:
    trained = train("sklearn.ensemble.RandomForestClassifier", named_classes, seed="11", n_estimators="3", **params)
    assert trained.model.random_state == expected


@pytest.fixture(scope="module")
def predict(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Run the built-in predict script as a registration does, and call what it handed over, as a Python worker does.

    The script runs once for each choice of parameters.
    """
    bundle = read_bundle("builtin:sklearn", "register")

    @functools.cache
    def handed_over(**params: str) -> Any:
        target = tmp_path_factory.mktemp("function") / "function.pickle"
        options = {"role": "register", "function_file": str(target), "fit_param": params, "files": other_files(bundle)}
        ran = run(bundle.files[bundle.entry], entry=bundle.entry, **options)
        assert ran.outcome.problem is None, ran.lines
        return pickle.loads(target.read_bytes())["predict"]

    return lambda model, rows, **params: handed_over(**params)(rows, model)


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


@pytest.mark.parametrize(
    ("params", "fragment"),
    [
        ({"method": "predict_probas"}, "did you mean 'predict_proba'?"),
        ({"methods": "predict"}, "has no parameter 'methods', only 'method'"),
    ],
)
def test_the_predict_script_takes_one_parameter(import_mlsql: Run, params: dict[str, str], fragment: str) -> None:
    import_mlsql(role="register", fit_param=params)
    with pytest.raises(ValueError, match=re.escape(fragment)):
        run_here("predict.py")
