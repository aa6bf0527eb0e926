"""scikit-learn models as ONNX files, which ONNX Runtime scores; and why others cannot be written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.exchange import COLUMNS, VECTORS, X, Y, classifier, publish_files
from support.models import publish_model

from mlsql_runtime.errors import InputError
from mlsql_runtime.exchange.exported_function import choose_model
from mlsql_runtime.exchange.onnx_export import FILE, export_onnx

FRAME = COLUMNS.to_pandas()


def run(folder: Path, **inputs: Any) -> list[Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / FILE), providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, inputs)
    return outputs


def test_a_classifier_of_vectors(tmp_path: Path) -> None:
    model = classifier()
    path = publish_model(tmp_path / "m", model, VECTORS)

    exported = export_onnx(choose_model(path, None, None), tmp_path / "out")

    labels, chances = run(tmp_path / "out", features=X)
    assert labels.tolist() == model.predict(X).tolist()
    assert chances == pytest.approx(model.predict_proba(X), abs=1e-6)
    assert (exported.format, exported.files, exported.predictions) == ("onnx", 1, "those of LogisticRegression")


def test_a_pipeline_of_columns_takes_them_by_name(tmp_path: Path) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    parts = ColumnTransformer([("numbers", StandardScaler(), ["age", "income"]), ("words", OneHotEncoder(), ["city"])])
    model = make_pipeline(parts, LinearRegression()).fit(FRAME, FRAME["income"] * 2)
    path = publish_model(tmp_path / "m", model, COLUMNS)

    export_onnx(choose_model(path, None, None), tmp_path / "out")

    given = {name: FRAME[[name]].to_numpy(object if name == "city" else np.float64) for name in FRAME.columns}
    [predicted] = run(tmp_path / "out", **given)
    assert predicted[:, 0] == pytest.approx(model.predict(FRAME), abs=1e-5)


def test_a_model_that_skl2onnx_does_not_know_is_an_error_with_its_reason(tmp_path: Path) -> None:
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=2, min_child_samples=5, verbose=-1, n_jobs=1).fit(X, Y)
    path = publish_model(tmp_path / "m", model, VECTORS)

    with pytest.raises(InputError, match=r"cannot convert lightgbm.sklearn.LGBMClassifier: .*; export it with --format mlflow"):
        export_onnx(choose_model(path, None, None), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_in_another_file_is_refused(tmp_path: Path) -> None:
    path = publish_files(tmp_path / "m", VECTORS, {"model.keras": b"PK"})

    with pytest.raises(InputError, match=r"has model.keras; only models of scikit-learn in model.pickle"):
        export_onnx(choose_model(path, None, None), tmp_path / "out")


def test_without_skl2onnx_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = publish_model(tmp_path / "m", classifier(), VECTORS)
    monkeypatch.setitem(sys.modules, "skl2onnx", None)

    with pytest.raises(InputError, match=r"needs skl2onnx .*airflow-provider-mlsql\[onnx\]"):
        export_onnx(choose_model(path, None, None), tmp_path / "out")
