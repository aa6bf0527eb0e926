"""scikit-learn on a real SparkSession: built-in algorithms and the example scripts answer as scikit-learn itself does."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.datasets import load_svmlight_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from support.workbench import EXAMPLES, SAMPLE, TESTS, WIDTH, RunPlan, Script

from mlsql_runtime import engine
from mlsql_runtime.language import compile_script
from mlsql_runtime.plan import FileFeed, FunctionRef, KafkaFeed, Plan, Predict, PythonEnv, Register, Save, Select, Train
from mlsql_runtime.result import RunResult, TrainResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.versions import read_manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from mlsql_runtime.kafka.settings import KafkaSettings

BUILTIN = "builtin:sklearn"
X, Y = load_svmlight_file(SAMPLE, n_features=WIDTH)
X = X.toarray()
# X is 0 to 199 in no order; y is what can be learned of it, word says it, and text has it among other words
LEARNABLE = """
select vec_dense(array(double(x), double(x * 7 % 13))) as features, double(x > 99) as label, double(x * 3 + 1) as number,
if(x > 99, 'many', 'few') as word,
concat_ws(' ', concat('w', x % 5), if(x > 99, 'rain and clouds', 'sun and sand'), concat('v', x % 7)) as text
from (select id * 73 % 200 as x from range(0, 200, 1, 2))
"""


def group(name: str, **params: str) -> dict[str, str]:
    module, _, cls = name.rpartition(".")
    return {"moduleName": module, "className": cls, **params}


def trained(path: Path, script_path: str, *groups: dict[str, str], **fields: Any) -> Train:
    whole = {"table": "data", "model_path": str(path), "script_path": script_path, "fit_params": groups, **fields}
    return Train(**whole)


def train_result(outcome: RunResult) -> TrainResult:
    outcome.raise_for_error()
    return next(step for step in outcome.steps if isinstance(step, TrainResult))


def manifest_of(path: Path) -> Manifest:
    return read_manifest(Location.of(str(path)))


def model_of(path: Path, alg_index: int) -> Any:
    return pickle.loads((path / f"_model_1/model/{alg_index}/model.pickle").read_bytes())


def blocks(page: str, language: str) -> list[str]:
    """What a page of the documentation shows in a language."""
    text = (TESTS.parent / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(params=["files", "Kafka"])
def feed(request: pytest.FixtureRequest) -> FileFeed | KafkaFeed:
    if request.param == "files":
        return FileFeed()
    settings: KafkaSettings = request.getfixturevalue("kafka_settings")
    return KafkaFeed(topic="sklearn", settings=settings.public)


def test_sql_predicts_what_the_estimators_predict(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, feed: FileFeed | KafkaFeed
) -> None:
    """Support vectors are trained on all rows at once, naive Bayes batch by batch."""
    vectors = [group("sklearn.svm.SVC", C=value) for value in ("0.1", "2")]
    bayes = [group("sklearn.naive_bayes.MultinomialNB", alpha=value) for value in ("0.1", "2")]
    path = str(tmp_path / "m")
    train = trained(tmp_path / "m", BUILTIN, *vectors, *bayes, validate_table="data", feed=feed)
    best = Register(model_path=path, function="best", script_path=BUILTIN)
    other = Register(model_path=path, function="bayes", script_path=BUILTIN, alg_index=3)
    result = train_result(run_plan(train, best, other))
    assert [fit.status for fit in result.fits] == ["success"] * 4
    models = [model_of(tmp_path / "m", index) for index in range(4)]
    assert [model.C for model in models[:2]] == [0.1, 2]
    assert [model.alpha for model in models[2:]] == [0.1, 2]
    assert [fit.score for fit in result.fits] == [pytest.approx(model.score(X, Y)) for model in models]
    assert result.best.alg_index in (0, 1)
    rows = spark.sql("select label, best(features) as best, bayes(features) as bayes from data").collect()
    wanted = (Y, models[result.best.alg_index].predict(X), models[3].predict(X))
    assert [(row.label, row.best[0], row.bayes[0]) for row in rows] == list(zip(*map(np.ndarray.tolist, wanted), strict=True))


def test_a_built_in_model_is_the_one_of_scikit_learn(run_plan: RunPlan, tmp_path: Path) -> None:
    env = PythonEnv(seed=7)
    train = trained(tmp_path / "m", BUILTIN, group("sklearn.svm.SVC", C="0.5"), validate_fraction=0.2, python=env)
    result = train_result(run_plan(train))
    manifest = manifest_of(tmp_path / "m")
    assert manifest.script.name == BUILTIN
    assert manifest.parameters == {"seed": "7"}
    assert {"python", "scikit-learn", "numpy", "airflow-provider-mlsql"} <= set(manifest.fits[0].packages)
    assert "kafka-python" not in manifest.fits[0].packages
    assert result.rows + manifest.data.validate_rows == 100
    model = model_of(tmp_path / "m", 0)
    assert (model.C, model.random_state) == (0.5, 7)


def test_classes_with_names_are_answered_by_their_places(run_plan: RunPlan, spark: SparkSession, tmp_path: Path) -> None:
    names = Select(table="rows", sql=LEARNABLE)
    forest = group("sklearn.ensemble.RandomForestClassifier", label="word", n_estimators="5", random_state="1")
    train = trained(tmp_path / "m", BUILTIN, forest, table="rows")
    path = str(tmp_path / "m")
    run_plan(
        names,
        train,
        Register(model_path=path, function="place", script_path=BUILTIN),
        Register(model_path=path, function="chance", script_path=BUILTIN, params={"method": "predict_proba"}),
    ).raise_for_error()
    rows = spark.sql("select features, word, place(features) as place, chance(features) as chance from rows").collect()
    model = model_of(tmp_path / "m", 0)
    inputs = np.array([row.features for row in rows])
    assert model.classes_.tolist() == ["few", "many"]
    assert [model.classes_[int(row.place[0])] for row in rows] == model.predict(inputs).tolist()
    assert np.allclose([row.chance.toArray() for row in rows], model.predict_proba(inputs))
    assert "classes: 0 is few, 1 is many" in (tmp_path / "m/_model_1/logs/0.log").read_text()


def test_a_method_that_the_model_has_not_is_refused_when_it_is_registered(run_plan: RunPlan, tmp_path: Path) -> None:
    run_plan(trained(tmp_path / "m", BUILTIN, group("sklearn.svm.LinearSVC"))).raise_for_error()
    register = Register(model_path=str(tmp_path / "m"), function="f", script_path=BUILTIN, params={"method": "predict_proba"})
    result = run_plan(register)
    assert result.error is not None
    assert (result.error["kind"], "LinearSVC, as it was trained, has no predict_proba" in result.error["message"]) == (
        "ScriptFailed",
        True,
    )


def test_what_cannot_be_trained_is_known_before_data_move(run_plan: RunPlan, tmp_path: Path) -> None:
    groups = (group("sklearn.svm.SVC"), group("sklearn.svm.SVX"), group("sklearn.svm.SVC", kernl="rbf"))
    result = run_plan(trained(tmp_path / "m", BUILTIN, *groups))
    assert result.error is not None
    assert result.error["kind"] == "InputError"
    assert result.error["facts"]["problems"] == [
        "fitParam.1: sklearn.svm has no class 'SVX'; did you mean 'SVR'?",
        "fitParam.2: sklearn.svm.SVC has no parameter 'kernl'; did you mean 'kernel'?",
    ]
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(("scorers", "greater"), [(["mean_squared_error"], True), (["r2", None], False)])
def test_scores_that_would_make_the_worst_group_the_best_are_refused(
    run_plan: RunPlan, tmp_path: Path, scorers: list[str | None], greater: bool
) -> None:
    groups = [group("sklearn.linear_model.Ridge", **({"scorer": scorer} if scorer else {})) for scorer in scorers]
    error = run_plan(trained(tmp_path / "m", BUILTIN, *groups, greater_is_better=greater)).error
    assert error is not None
    problems = error["facts"]["problems"]
    assert len(problems) == len(scorers)
    assert all("so that the worst group would be the best; set scoreMode to" in problem for problem in problems)


def test_the_smaller_loss_is_best(run_plan: RunPlan, spark: SparkSession, tmp_path: Path) -> None:
    script = str(EXAMPLES / "train_regressor.py")
    groups = ({"max_iter": "1", "label": "number"}, {"max_iter": "60", "label": "number"})
    path = tmp_path / "m"
    rows = Select(table="rows", sql=LEARNABLE)
    train = trained(path, script, *groups, table="rows", validate_table="rows", greater_is_better=False)
    result = train_result(run_plan(rows, train, Register(model_path=str(path), function="guess", script_path=BUILTIN)))
    assert result.best.alg_index == 1
    assert result.score is not None
    assert result.score < min(1000.0, *(fit.score for fit in result.fits if fit.alg_index == 0 and fit.score is not None))
    answers = spark.sql("select features, guess(features) as p from rows").collect()
    wanted = model_of(path, 1).predict([row.features for row in answers])
    assert np.allclose([row.p[0] for row in answers], wanted)


def test_a_forest(run_plan: RunPlan, spark: SparkSession, tmp_path: Path) -> None:
    groups = ({"n_estimators": "3"}, {"n_estimators": "20", "max_depth": "4"})
    path = tmp_path / "m"
    train = trained(path, str(EXAMPLES / "train_forest.py"), *groups, validate_fraction=0.3, python=PythonEnv(seed=3))
    result = train_result(run_plan(train, Register(model_path=str(path), function="forest", script_path=BUILTIN)))
    assert [fit.metrics["trees"] for fit in result.fits] == [3, 20]
    answers = [row.p[0] for row in spark.sql("select forest(features) as p from data").collect()]
    assert answers == model_of(path, result.best.alg_index).predict(X).tolist()


def test_a_pipeline_on_texts(run_plan: RunPlan, spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "m"
    groups = ({"C": "0.1", "label": "word"}, {"C": "10", "label": "word"})
    texts = Select(table="texts", sql=f"select text, word as label from ({LEARNABLE})")
    train = trained(path, str(EXAMPLES / "train_text.py"), *groups, table="texts")
    script = str(EXAMPLES / "predict_text.py")
    predict = Predict(table="texts", model_path=str(path), script_path=script, result="predicted")
    result = train_result(run_plan(texts, train, predict, Save(table="predicted", format="json", path=str(tmp_path / "out"))))
    assert result.score == 1.0
    rows = spark.read.json(str(tmp_path / "out")).collect()
    assert len(rows) == 200
    assert set(rows[0].asDict()) == {"text", "label", "prediction"}
    table = spark.table("texts").collect()
    own = make_pipeline(TfidfVectorizer(), LogisticRegression(C=0.1)).fit([r.text for r in table], [r.label for r in table])
    assert {row.text: row.prediction for row in rows} == {row.text: own.predict([row.text])[0] for row in table}


# -- the pages


@pytest.mark.parametrize("page", ["builtin.md", "frameworks/lightgbm.md"])
def test_the_mlsql_of_a_page(spark: SparkSession, tmp_path: Path, page: str) -> None:
    (script,) = blocks(page, "sql")
    compiled = compile_script(script, variables={"data": SAMPLE, "model": str(tmp_path / "m")})
    engine.run(Plan(job_id="docs", statements=compiled.statements), spark).raise_for_error()
    assert spark.table("predicted").filter("label = prediction").count() > 90
    assert {row.status for row in spark.table("groups").collect()} == {"success"}


def test_the_scripts_of_the_scikit_learn_page(run_plan: RunPlan, spark: SparkSession, tmp_path: Path, script: Script) -> None:
    train, predict = (script(text, f"{at}.py") for at, text in enumerate(blocks("frameworks/scikit-learn.md", "python")))
    path = tmp_path / "m"
    groups = ({"C": "0.01"}, {"C": "1"})
    register = Register(model_path=str(path), function="chance", script_path=predict)
    result = train_result(run_plan(trained(path, train, *groups, validate_table="data"), register))
    answers = [row.p.toArray() for row in spark.sql("select chance(features) as p from data").collect()]
    assert np.allclose(answers, model_of(path, result.best.alg_index).predict_proba(X))


LEAVES = tuple({"n_estimators": "30", "min_child_samples": "5", "num_leaves": leaves} for leaves in ("3", "7"))


def test_the_script_of_the_lightgbm_page(run_plan: RunPlan, spark: SparkSession, tmp_path: Path, script: Script) -> None:
    (train,) = blocks("frameworks/lightgbm.md", "python")
    path = tmp_path / "m"
    chance = Register(model_path=str(path), function="chance", script_path=BUILTIN, params={"method": "predict_proba"})
    result = train_result(run_plan(trained(path, script(train), *LEAVES, validate_table="data"), chance))
    assert [model_of(path, index).num_leaves for index in range(2)] == [3, 7]
    assert [list(fit.metrics) for fit in result.fits] == [["binary_logloss"]] * 2
    assert "lightgbm" in manifest_of(path).fits[0].packages
    answers = [row.p.toArray() for row in spark.sql("select chance(features) as p from data").collect()]
    assert np.allclose(answers, model_of(path, result.best.alg_index).predict_proba(X))


@pytest.mark.parametrize(("page", "groups"), [("scikit-learn", ({"C": "0.01"}, {"C": "1"})), ("lightgbm", LEAVES)])
def test_the_training_script_of_a_page_through_kafka(
    run_plan: RunPlan,
    tmp_path: Path,
    script: Script,
    kafka_settings: KafkaSettings,
    page: str,
    groups: tuple[dict[str, str], ...],
) -> None:
    train, *_ = blocks(f"frameworks/{page}.md", "python")
    feed = KafkaFeed(topic="sklearn", settings=kafka_settings.public)
    result = train_result(run_plan(trained(tmp_path / "m", script(train), *groups, validate_table="data", feed=feed)))
    assert [fit.status for fit in result.fits] == ["success", "success"]
    assert all(model_of(tmp_path / "m", index).score(X, Y) > 0.9 for index in range(2))


# -- versions


def test_another_version_than_the_one_it_was_trained_with_is_told_once(
    run_plan: RunPlan, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m"
    forest = group("sklearn.ensemble.RandomForestClassifier", n_estimators="4")
    run_plan(
        trained(path, BUILTIN, forest), Register(model_path=str(path), function="jack", script_path=BUILTIN)
    ).raise_for_error()
    assert "warning" not in capfd.readouterr().out
    place = path / "_functions/jack/1/function.json"
    record = json.loads(place.read_text())
    trained_with = record["packages"]["scikit-learn"]
    record["packages"]["scikit-learn"] = "1.0.2"
    place.write_text(json.dumps(record))
    ref = FunctionRef(name="jack", model_path=str(path), function="jack")
    run_plan(Select(table="p", sql="select jack(features) as p from data", functions=(ref,))).raise_for_error()
    lines = [line for line in capfd.readouterr().out.splitlines() if "warning" in line]
    told = f"function jack: its model was trained with scikit-learn 1.0.2, but is loaded with {trained_with}"
    assert len(lines) == 1
    assert told in lines[0]


OLD = """
import mlsql, mlsql_model
import sklearn.base
from sklearn.tree import DecisionTreeClassifier

X, y = mlsql.all_data()
model = DecisionTreeClassifier().fit(X, y)
sklearn.base.__version__ = "1.0.2"  # as an older scikit-learn would save it
mlsql_model.sk_save_model(model)
"""


def test_workers_do_not_repeat_it(
    run_plan: RunPlan, spark: SparkSession, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.py").write_text(OLD)
    path = tmp_path / "m"
    run_plan(
        trained(path, str(tmp_path / "old.py"), {}), Register(model_path=str(path), function="old", script_path=BUILTIN)
    ).raise_for_error()
    assert spark.sql("select old(features) as p from data").count() == 100
    assert spark.sql("select old(features) as p from data").collect()[0].p[0] in (0.0, 1.0)
    captured = capfd.readouterr()
    assert "InconsistentVersionWarning" not in captured.out + captured.err
