"""Models that were made elsewhere become versions, from which functions are registered as from any other."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.exchange import BUILTIN, COLUMNS, VECTORS, X, Y, classifier, package, publish_files, register, score
from support.models import publish_model
from support.predict_scripts import BATCH, OVER_COLUMNS
from support.workbench import Script

from mlsql_runtime.errors import InputError
from mlsql_runtime.exchange.exported_function import choose_model
from mlsql_runtime.exchange.foreign_model import ForeignModel, open_foreign_model
from mlsql_runtime.exchange.import_version import import_version
from mlsql_runtime.exchange.mlflow_export import export_mlflow
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.signature import Column
from mlsql_runtime.store.verification import verify_files
from mlsql_runtime.store.versions import read_manifest

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:UserWarning:mlflow.*", "ignore:.*:FutureWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore:.*Add type hints:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras with NumPy 2
]
FRAME = COLUMNS.to_pandas()


def bring(source: Path | str, folder: Path, **how: Any) -> Manifest:
    """Import a model into the model path ``folder``."""
    root = Location.of(str(folder))
    with open_foreign_model(str(source)) as model:
        return import_version(root, model, **how)


def save_mlflow(mlflow: Any, folder: Path, model: Any = None, **how: Any) -> Path:
    given = {
        "signature": mlflow.models.infer_signature(X, Y),
        "input_example": X[:3],
        "pip_requirements": ["scikit-learn==1.6.0", "joblib"],
    }
    mlflow.sklearn.save_model(model or classifier(), str(folder), serialization_format="cloudpickle", **{**given, **how})
    return folder


def predictions(path: Path, table: Any = VECTORS, function: str = "jack") -> list[Any]:
    rows = score(str(path), table, function)
    return [row[0] if isinstance(row, list) else row for row in rows]


def dump_pickle(place: Path) -> Path:
    place.write_bytes(pickle.dumps(classifier()))
    return place


def dump_joblib(place: Path) -> Path:
    import joblib

    joblib.dump(classifier(), place, compress=3)
    return place


@pytest.mark.parametrize(("name", "dump"), [("spam.pkl", dump_pickle), ("spam.joblib", dump_joblib)])
def test_a_file_becomes_a_version_that_is_marked_as_imported(name: str, dump: Any, tmp_path: Path) -> None:
    source = dump(tmp_path / name)

    manifest = bring(source, tmp_path / "m", score=0.93, description="from the old platform", by="ann@host")

    assert manifest.imported is not None
    assert (manifest.imported.source, manifest.imported.by) == (str(source), "ann@host")
    assert manifest == read_manifest(Location.of(str(tmp_path / "m")))
    verify_files(Location.of(str(tmp_path / "m" / "_model_1")), manifest.files)
    register(str(tmp_path / "m"), script_path=BUILTIN, min_score=0.9)
    assert predictions(tmp_path / "m") == classifier().predict(X).tolist()
    refused = register(str(tmp_path / "m"), "jill", BUILTIN, min_score=0.95)
    assert (refused.registered, refused.score) == (False, 0.93)


def test_an_mlflow_model_has_its_signature_sample_rows_and_packages(mlflow: Any, tmp_path: Path) -> None:
    source = save_mlflow(mlflow, tmp_path / "source")

    manifest = bring(source, tmp_path / "m")

    assert manifest.signature is not None
    assert manifest.signature.features == (Column(name="features", type="vector"),)
    assert manifest.data.feature_width == 4
    assert manifest.fits[0].packages["scikit-learn"] == "1.6.0"
    assert manifest.imported is not None
    assert manifest.imported.facts["mlflow_version"] == mlflow.__version__
    register(str(tmp_path / "m"), script_path=BUILTIN, params={"method": "predict_proba"})  # which tries it on the sample rows
    assert score(str(tmp_path / "m"), VECTORS) == classifier().predict_proba(X).tolist()


def test_an_mlflow_model_of_columns_is_called_by_name(mlflow: Any, tmp_path: Path, script: Script) -> None:
    frame = FRAME[["age", "income"]]
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(frame, FRAME["income"] * 2)
    source = save_mlflow(
        mlflow,
        tmp_path / "source",
        model,
        signature=mlflow.models.infer_signature(frame, model.predict(frame)),
        input_example=frame[:3],
    )

    manifest = bring(source, tmp_path / "m")

    assert manifest.signature is not None
    assert [str(column) for column in manifest.signature.features] == ["age bigint", "income double"]
    predict = script(OVER_COLUMNS.format(body="return model.predict(X)", takes="frame", returns="double"))
    package(str(tmp_path / "m"), predict)
    assert predictions(tmp_path / "m", COLUMNS) == pytest.approx(model.predict(frame).tolist())


@pytest.mark.parametrize("kind", ["lightgbm", "keras", "pyfunc"])
def test_models_of_other_libraries(mlflow: Any, kind: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    signature = mlflow.models.infer_signature(X, Y)
    if kind == "lightgbm":
        import lightgbm

        model = lightgbm.train({"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}, lightgbm.Dataset(X, Y), 5)
        mlflow.lightgbm.save_model(model, str(source), signature=signature, pip_requirements=[])
        expected = model.predict(X)
    elif kind == "keras":
        import keras

        network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        mlflow.keras.save_model(network, str(source), signature=signature, pip_requirements=[])
        expected = network.predict_on_batch(X)[:, 0]
    else:

        class Doubled(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
                return model_input.sum(axis=1) * 2

        mlflow.pyfunc.save_model(str(source), python_model=Doubled(), signature=signature, pip_requirements=[])
        expected = X.sum(axis=1) * 2

    bring(source, tmp_path / "m")

    method = "predict_on_batch" if kind == "keras" else "predict"
    from mlsql_model import load

    [folder] = (tmp_path / "m" / "_model_1" / "model").iterdir()
    predicted = getattr(load(str(folder)), method)(X)
    assert predicted.reshape(-1).tolist() == pytest.approx(expected.tolist())


@pytest.mark.parametrize("library", ["sklearn", "lightgbm"])
def test_an_exported_version_is_imported_again(library: str, tmp_path: Path) -> None:
    from lightgbm import LGBMClassifier

    boosted = LGBMClassifier(n_estimators=5, min_child_samples=5, verbose=-1, n_jobs=1)
    path = publish_model(tmp_path / "m", boosted.fit(X, Y) if library == "lightgbm" else classifier(), VECTORS)
    package(path, BUILTIN)
    export_mlflow(choose_model(path, None, None), tmp_path / "out")

    manifest = bring(tmp_path / "out", tmp_path / "again")

    assert manifest.imported is not None
    assert manifest.imported.facts == {"model_path": path, "version": "1", "group": "0"}
    assert (manifest.fits[0].score, manifest.greater_is_better) == (0.9, True)
    assert manifest.signature == read_manifest(Location.of(path)).signature
    register(str(tmp_path / "again"))  # with the script of the function
    assert score(str(tmp_path / "again"), VECTORS) == score(path, VECTORS)


def test_an_exported_version_of_columns_is_called_by_name_again(tmp_path: Path, script: Script) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(FRAME[["age", "income"]], FRAME["income"] * 2)
    path = publish_model(tmp_path / "m", model, COLUMNS)
    predict = script(OVER_COLUMNS.format(body="return model.predict(X[['age', 'income']])", takes="frame", returns="double"))
    package(path, predict)
    export_mlflow(choose_model(path, None, None), tmp_path / "out")

    bring(tmp_path / "out", tmp_path / "again")

    package(str(tmp_path / "again"), predict)
    reordered = COLUMNS.select(COLUMNS.column_names[::-1])
    assert score(str(tmp_path / "again"), reordered) == score(path, COLUMNS) == pytest.approx((FRAME["income"] * 2).tolist())


def test_the_score_of_an_exported_version_stays_a_loss(tmp_path: Path) -> None:
    path = publish_model(tmp_path / "m", classifier(), VECTORS)
    choice = choose_model(path, None, None)
    loss = replace(choice, manifest=replace(choice.manifest, greater_is_better=False))
    export_mlflow(loss, tmp_path / "out", script_path=BUILTIN)
    assert not bring(tmp_path / "out", tmp_path / "again").greater_is_better


def test_an_exported_keras_version_is_imported_again(tmp_path: Path, script: Script) -> None:
    import keras

    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="tanh"), keras.layers.Dense(1)])
    network.save(tmp_path / "model.keras")
    path = publish_files(tmp_path / "m", VECTORS, {"model.keras": tmp_path / "model.keras"})
    predict = script(BATCH.format(body="return model.predict_on_batch(X)", arguments=""))
    package(path, predict)
    export_mlflow(choose_model(path, None, None), tmp_path / "out")

    bring(tmp_path / "out", tmp_path / "again")

    package(str(tmp_path / "again"), predict)
    assert score(str(tmp_path / "again"), VECTORS) == score(path, VECTORS)


# -- what is refused


def opened(source: Path | str) -> ForeignModel:
    with open_foreign_model(str(source)) as model:
        return model


def test_links_in_a_model_are_refused(mlflow: Any, tmp_path: Path) -> None:
    source = save_mlflow(mlflow, tmp_path / "source")
    secret = tmp_path / "secret"
    secret.write_text("token")
    (source / "extra").symlink_to(secret)

    with pytest.raises(InputError, match=r"source/extra is a link; put the file itself there"):
        opened(source)
    (source / "extra").unlink()
    (source / "extra").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(InputError, match=r"source/extra is a link"):
        opened(source)
    (source / "extra").unlink()
    os.mkfifo(source / "extra")
    with pytest.raises(InputError, match=r"source/extra is not a regular file"):
        opened(source)
    (tmp_path / "link.pkl").symlink_to(dump_pickle(tmp_path / "a.pkl"))
    with pytest.raises(InputError, match=r"link.pkl is a link"):
        opened(tmp_path / "link.pkl")


@pytest.mark.parametrize(
    ("flavor", "name", "value"),
    [
        ("sklearn", "pickled_model", "../secret.pkl"),
        ("sklearn", "pickled_model", "/etc/passwd"),
        ("python_function", "model_path", "data/../../secret"),
        ("python_function", "data", "..\\secret"),
        ("python_function", "code", "~/code"),
    ],
)
def test_paths_that_lead_out_of_a_model_are_refused(mlflow: Any, flavor: str, name: str, value: str, tmp_path: Path) -> None:
    source = save_mlflow(mlflow, tmp_path / "source")
    document = yaml.safe_load((source / "MLmodel").read_text())
    document["flavors"][flavor][name] = value
    (source / "MLmodel").write_text(yaml.safe_dump(document))

    with pytest.raises(InputError, match=rf"flavors.{flavor}.{name} is .*, which leads out of the model's folder"):
        opened(source)


def test_an_export_that_names_files_outside_is_refused(tmp_path: Path) -> None:
    path = publish_model(tmp_path / "m", classifier(), VECTORS)
    package(path, BUILTIN)
    export_mlflow(choose_model(path, None, None), tmp_path / "out")
    record = tmp_path / "out/data/function/function.json"
    record.write_text(record.read_text().replace("model/0/model.pickle", "../../m/_model_1/model/0/model.pickle"))

    with pytest.raises(InputError, match="not one below its folder"):
        opened(tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.pkl", None, "there is no model at .*none.pkl"),
        ("model.keras", b"PK\x03\x04", "is a zip, such as a Keras model or a checkpoint; expected an MLflow model"),
        ("notes.txt", b"hello", "is something else; expected an MLflow model"),
        ("folder/readme", b"hello", "is a folder without MLmodel; expected an MLflow model"),
        ("folder/MLmodel", b"{", "MLmodel is not YAML"),
        ("folder/MLmodel", b"flavors: {}", "has no flavors"),
        ("folder/MLmodel", b"a: &a [*a]", "is not YAML: a value contains itself"),
        ("folder/MLmodel", b"x" * (600 << 10), "is too large"),
    ],
)
def test_what_is_not_a_model(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    place = tmp_path / name
    if content is not None:
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)

    with pytest.raises(InputError, match=message):
        opened(place if place.parent == tmp_path else place.parent)


def test_a_signature_that_spark_does_not_have_is_left_out_with_a_note(mlflow: Any, tmp_path: Path) -> None:
    source = save_mlflow(mlflow, tmp_path / "source")
    document = yaml.safe_load((source / "MLmodel").read_text())
    for inputs in ('[{"type": "any", "name": "x"}]', '[{"type": "double"}]', "[", '[{"type": "tensor"}]', "7"):
        document["signature"]["inputs"] = inputs
        (source / "MLmodel").write_text(yaml.safe_dump(document))

        model = opened(source)

        assert model.signature is None
        assert model.notes[0].startswith("its signature is not used: ")


def test_without_mlflow_a_uri_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)

    with pytest.raises(InputError, match=r"importing models:/spam/3 needs MLflow .*airflow-provider-mlsql\[mlflow\]"):
        opened("models:/spam/3")
