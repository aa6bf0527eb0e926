"""Versions as MLflow models: MLflow loads them, and they predict as the function in SQL does."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.exchange import BUILTIN, COLUMNS, VECTORS, X, Y, classifier, package, publish_files, score
from support.models import publish_model
from support.predict_scripts import BATCH, OVER_COLUMNS
from support.workbench import Script

from mlsql_runtime.errors import InputError, IntegrityError, ScriptFailed, VersionNotFound
from mlsql_runtime.exchange.exported_function import choose_model
from mlsql_runtime.exchange.foreign_model import open_foreign_model
from mlsql_runtime.exchange.import_version import import_version
from mlsql_runtime.exchange.mlflow_export import export_mlflow
from mlsql_runtime.exchange.target_folder import Exported, publish_folder
from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission.runtime_zip import write_runtime

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:UserWarning:mlflow.*", "ignore:.*:FutureWarning:mlflow.*"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras with NumPy 2
]
FRAME = COLUMNS.to_pandas()


def export(path: str, target: Path, **how: Any) -> Exported:
    return export_mlflow(choose_model(path, None, None), target, **how)


def numbers(rows: list[Any]) -> list[float]:
    """Return the number in each vector of length 1."""
    return [row[0] if isinstance(row, list) else row for row in rows]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A model path with the function jack over vectors, and the model exported from it."""
    folder = tmp_path_factory.mktemp("classifier")
    path = publish_model(folder / "m", classifier(), VECTORS)
    package(path, BUILTIN)
    export(path, folder / "out")
    return path, folder / "out"


def test_a_function_of_vectors_takes_a_matrix_and_predicts_the_same(mlflow: Any, published: tuple[str, Path]) -> None:
    path, exported = published

    predicted = mlflow.pyfunc.load_model(str(exported)).predict(X)

    assert predicted.tolist() == numbers(score(path, VECTORS))
    assert predicted.tolist() == classifier().predict(X).tolist()


def test_the_model_says_what_it_is(mlflow: Any, published: tuple[str, Path]) -> None:
    path, exported = published

    model = mlflow.models.Model.load(str(exported))

    assert model.signature.inputs.to_dict() == [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": (-1, 4)}}]
    assert [each["type"] for each in model.signature.outputs.to_dict()] == ["double"]
    assert model.load_input_example(str(exported)).tolist() == X[:5].tolist()
    about = model.metadata["mlsql"]
    assert (about["model_path"], about["version"], about["alg_index"], about["function"]) == (path, 1, 0, "jack")
    requirements = (exported / "requirements.txt").read_text().split()
    assert f"mlflow=={mlflow.__version__}" in requirements
    assert f"numpy=={np.__version__}" in requirements


def test_the_model_loads_where_this_package_is_not_installed(published: tuple[str, Path], tmp_path: Path) -> None:
    """As `mlflow models predict` does, in a process of its own, whose path has the model's code alone."""
    path, exported = published
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps({"inputs": X.tolist()}))
    hide = "import sys; sys.path[:] = [p for p in sys.path if p != {!r}]; sys.meta_path[:] = [f for f in sys.meta_path if not {}]"
    source = hide.format(str(Path(__file__).parents[3]), "'editable' in repr(f).lower()") + (
        "\nfrom mlflow.cli import cli"
        f"\ncli(['models', 'predict', '-m', {str(exported)!r}, '-i', {str(rows)!r}, '-o', {str(tmp_path / 'out')!r}, "
        "'-t', 'json', '--env-manager', 'local'], standalone_mode=False)"
        "\nimport mlsql_runtime; print(mlsql_runtime.__file__)"
    )

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(exported / "code" / "mlsql_runtime" / "__init__.py")
    assert json.loads((tmp_path / "out").read_text())["predictions"] == numbers(score(path, VECTORS))


def test_a_function_of_columns_takes_them_by_name(mlflow: Any, tmp_path: Path, script: Script) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(FRAME[["age", "income"]], FRAME["income"])
    path = publish_model(tmp_path / "m", model, COLUMNS)
    body = "return [f'{city} {value:.6f}' for city, value in zip(X['city'], model.predict(X[['age', 'income']]))]"
    package(path, script(OVER_COLUMNS.format(body=body, takes="frame", returns="string")))
    export(path, tmp_path / "out")

    loaded = mlflow.pyfunc.load_model(str(tmp_path / "out"))
    predicted = loaded.predict(FRAME.assign(other=1)[["city", "other", "income", "age"]])

    assert predicted.tolist() == score(path, COLUMNS)
    types = [(each["name"], each["type"]) for each in loaded.metadata.signature.inputs.to_dict()]
    assert types == [("age", "long"), ("income", "double"), ("city", "string")]
    assert loaded.input_example.equals(FRAME[:5])


@pytest.mark.parametrize("kind", ["struct<label: string, chance: double>", "array<double>", "vector", "boolean", "bigint"])
def test_every_kind_of_result(mlflow: Any, tmp_path: Path, script: Script, kind: str) -> None:
    path = publish_model(tmp_path / "m", 3.0, COLUMNS.select(["age", "income"]))
    bodies = {
        "struct<label: string, chance: double>": "return {'label': X['age'].astype(str), 'chance': X['income'] * model}",
        "array<double>": "return X.to_numpy(float) * model",
        "vector": "return X.to_numpy(float) * model",
        "boolean": "return X['income'] > 0",
        "bigint": "return X['age'] + 1",
    }
    package(path, script(OVER_COLUMNS.format(body=bodies[kind], takes="frame", returns=kind)))
    export(path, tmp_path / "out")

    predicted = mlflow.pyfunc.load_model(str(tmp_path / "out")).predict(FRAME[["age", "income"]])

    rows = predicted.to_dict("records") if isinstance(predicted, pd.DataFrame) else predicted.tolist()
    assert rows == score(path, COLUMNS.select(["age", "income"]))


def test_times_of_the_input_example_are_in_utc(mlflow: Any, tmp_path: Path, script: Script) -> None:
    hours = pa.array([0, 3_600_000_000], pa.timestamp("us", "Europe/Berlin"))  # as sample rows of a session in this zone
    table = pa.table({"at": hours, "local": hours.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))})
    path = publish_model(tmp_path / "m", None, table)
    body = "return (X['at'].dt.tz_convert('UTC').dt.hour * 100 + X['local'].dt.hour).astype(float)"
    package(path, script(OVER_COLUMNS.format(body=body, takes="frame", returns="double")))
    export(path, tmp_path / "out")

    loaded = mlflow.pyfunc.load_model(str(tmp_path / "out"))

    assert loaded.input_example["at"].tolist() == loaded.input_example["local"].tolist()
    assert loaded.predict(loaded.input_example).tolist() == score(path, table) == [0.0, 101.0]


def test_a_row_with_a_null_has_no_prediction(mlflow: Any, tmp_path: Path, script: Script) -> None:
    table = COLUMNS.select(["income"])
    path = publish_model(tmp_path / "m", None, table)
    package(path, script(OVER_COLUMNS.format(body="return X[:, 0] + 1", takes="matrix", returns="double")))
    export(path, tmp_path / "out")

    predicted = mlflow.pyfunc.load_model(str(tmp_path / "out")).predict(pd.DataFrame({"income": [1.0, np.nan]}))

    assert predicted.tolist()[0] == 2.0
    assert np.isnan(predicted.tolist()[1])


def test_lightgbm(mlflow: Any, tmp_path: Path, script: Script) -> None:
    from lightgbm import LGBMClassifier

    model = LGBMClassifier(n_estimators=5, min_child_samples=5, verbose=-1, n_jobs=1).fit(X, Y)
    path = publish_model(tmp_path / "m", model, VECTORS)
    package(path, script(BATCH.format(body="return model.predict_proba(X)", arguments="")))
    export(path, tmp_path / "out")

    predicted = mlflow.pyfunc.load_model(str(tmp_path / "out")).predict(X)

    assert predicted.tolist() == score(path, VECTORS)
    assert predicted.shape == (60, 2)


def test_keras_by_a_predict_script_without_a_registered_function(mlflow: Any, tmp_path: Path, script: Script) -> None:
    keras = pytest.importorskip("keras")
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="tanh"), keras.layers.Dense(1)])
    network.save(tmp_path / "model.keras")
    path = publish_files(tmp_path / "m", VECTORS, {"model.keras": tmp_path / "model.keras"})
    predict = script(BATCH.format(body="return model.predict_on_batch(X)", arguments=""))
    package(path, predict)

    exported = export(path, tmp_path / "out", script_path=predict)

    predicted = mlflow.pyfunc.load_model(str(tmp_path / "out")).predict(X)
    assert predicted.tolist() == numbers(score(path, VECTORS))
    assert exported.predictions == f"the predict script {Path(predict).name}"


def test_a_pickle_without_a_script_or_function_predicts_by_the_builtin(mlflow: Any, tmp_path: Path) -> None:
    path = publish_model(tmp_path / "m", classifier(), VECTORS)

    exported = export(path, tmp_path / "out")

    assert exported.predictions == "the predict script builtin:sklearn"
    assert mlflow.pyfunc.load_model(str(tmp_path / "out")).predict(X[:3]).tolist() == classifier().predict(X[:3]).tolist()


def test_several_functions_need_a_name(mlflow: Any, tmp_path: Path, script: Script) -> None:
    path = publish_model(tmp_path / "m", classifier(), VECTORS)
    for name in ("predict", "predict_proba"):
        made = script(BATCH.format(body=f"return model.{name}(X)", arguments=""), f"{name}.py")
        package(path, made, {"predict": "jack", "predict_proba": "jill"}[name])

    with pytest.raises(InputError, match=r"jack, jill use this model; name the one .* as --function"):
        export(path, tmp_path / "out")
    with pytest.raises(VersionNotFound, match="no function 'jim' of version 1, group 0"):
        export(path, tmp_path / "out", function="jim")
    assert not (tmp_path / "out").exists()
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []
    export(path, tmp_path / "out", function="jill")
    assert mlflow.pyfunc.load_model(str(tmp_path / "out")).predict(X).shape == (60, 2)


def test_a_model_without_any_way_to_predict_is_refused(tmp_path: Path) -> None:
    path = publish_files(tmp_path / "m", VECTORS, {"weights.bin": b"weights"})

    with pytest.raises(InputError, match=r"has no predict script, and no function uses it; register one, or name .* --script"):
        export(path, tmp_path / "out")


def test_a_function_that_fails_leaves_nothing(tmp_path: Path, script: Script) -> None:
    path = publish_model(tmp_path / "m", None, VECTORS)
    broken = script(BATCH.format(body="return 1 / 0", arguments=""))

    with pytest.raises(ScriptFailed, match="ZeroDivisionError"):
        export(path, tmp_path / "out", script_path=broken)
    assert not (tmp_path / "out").exists()
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


def test_what_is_there_already_is_not_replaced(tmp_path: Path, published: tuple[str, Path]) -> None:
    path, _ = published
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "empty").mkdir()

    for name in ("full", "file", "link"):
        with pytest.raises(InputError, match=f"{name} exists already; name a folder that does not exist, or an empty one"):
            export(path, tmp_path / name)
    export(path, tmp_path / "empty")
    assert (tmp_path / "empty" / "MLmodel").exists()


def test_a_folder_that_somebody_has_filled_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "theirs").mkdir(parents=True)
    (tmp_path / "written").mkdir()
    with pytest.raises(InputError, match=r"another process has written to .+ meanwhile; name another folder"):
        publish_folder(tmp_path / "written", target)
    assert [each.name for each in target.iterdir()] == ["theirs"]


def test_changed_files_are_refused(mlflow: Any, tmp_path: Path, published: tuple[str, Path]) -> None:
    path = publish_model(tmp_path / "m", classifier(), VECTORS)
    (tmp_path / "m/_model_1/model/0/model.pickle").write_bytes(pickle.dumps("another"))

    with pytest.raises(IntegrityError, match=r"model.pickle is not the file its manifest names"):
        export(path, tmp_path / "out")

    _, exported = published
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(exported), str(copy)], check=True)
    (copy / "data/function/model/0/model.pickle").write_bytes(pickle.dumps("another"))
    with pytest.raises(IntegrityError, match=r"model.pickle is not the file that function.json names"):
        mlflow.pyfunc.load_model(str(copy))


def test_a_column_of_another_type_is_an_error_that_names_it(tmp_path: Path, script: Script) -> None:
    from mlsql_runtime.exchange.pyfunc import _load_pyfunc

    path = publish_model(tmp_path / "m", None, COLUMNS)
    package(path, script(OVER_COLUMNS.format(body="return X['age'] + 1", takes="frame", returns="bigint")))
    export(path, tmp_path / "out")
    model = _load_pyfunc(str(tmp_path / "out" / "data" / "function"))

    with pytest.raises(InputError, match="'income' is missing"):
        model.predict(FRAME[["age", "city"]])
    with pytest.raises(InputError, match="column 'age' of type object cannot be bigint"):
        model.predict(FRAME.assign(age="old"))
    with pytest.raises(InputError, match="expected a DataFrame, or a matrix of numbers of shape"):
        model.predict([1, 2])


@pytest.mark.parametrize("missing", ["mlflow", "mlflow.pyfunc"])
def test_without_mlflow_the_error_names_the_extra(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = publish_model(tmp_path / "m", None, VECTORS)
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(InputError, match=r"exporting an MLflow model needs MLflow .*airflow-provider-mlsql\[mlflow\]"):
        export(path, tmp_path / "out")


def test_spark_udf(mlflow: Any, spark: Any, published: tuple[str, Path]) -> None:
    path, exported = published
    rows = spark.createDataFrame([(row,) for row in X.tolist()], "features array<double>")

    predict = mlflow.pyfunc.spark_udf(spark, str(exported), env_manager="local")

    assert [row[0] for row in rows.select(predict("features")).collect()] == numbers(score(path, VECTORS))


def test_a_matrix_may_be_sparse(mlflow: Any, published: tuple[str, Path]) -> None:
    from scipy.sparse import csr_matrix

    path, exported = published

    assert mlflow.pyfunc.load_model(str(exported)).predict(csr_matrix(X)).tolist() == numbers(score(path, VECTORS))


def test_the_code_comes_out_of_the_zip_that_spark_ships(tmp_path: Path) -> None:
    archive, _ = write_runtime(tmp_path)
    source = (
        "from pathlib import Path; from mlsql_runtime.exchange.mlflow_export import _copy_code; import mlsql_runtime\n"
        f"print(mlsql_runtime.__file__.startswith({str(archive)!r}), _copy_code(Path({str(tmp_path / 'code')!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(archive)},
        check=True,
    )
    assert done.stdout.startswith(f"True ['{tmp_path / 'code' / 'mlsql_runtime'}', ")
    assert (tmp_path / "code/mlsql_runtime/language/mlsql.lark").exists()
    assert not list((tmp_path / "code").rglob("*.pyc"))


def test_a_version_in_s3(mlflow: Any, s3_server: str, tmp_path: Path) -> None:
    (tmp_path / "spam.pkl").write_bytes(pickle.dumps(classifier()))
    root = Location.of(f"{s3_server}/exported/spam")
    with open_foreign_model(str(tmp_path / "spam.pkl")) as model:
        import_version(root, model)

    export(root.uri, tmp_path / "out")

    assert mlflow.pyfunc.load_model(str(tmp_path / "out")).predict(X).tolist() == classifier().predict(X).tolist()
    root.remove()
