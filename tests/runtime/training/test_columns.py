"""Named feature columns and labels: what reaches the script, what the version records, what is refused before groups run."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from support.training import train_result, trained
from support.workbench import RunPlan, Script

from mlsql_runtime.feed.table_facts import ColumnRoles, TableFacts, TableObservation
from mlsql_runtime.plan import Select
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.signature import Column, Signature
from mlsql_runtime.store.versions import read_manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TABLE = Select(
    table="people",
    sql="""select id as Age, id * 1.5d as income, if(id % 4 = 0, null, concat('c', id % 3)) as city, array(id, 1) as pair,
    features as pixels, if(id % 5 = 0, 'yes', 'no') as Churned, struct(id) as unused
    from range(0, 60, 1, 3), (select features from data limit 1)""",
)
LOOK = """
import mlsql, mlsql_model
frame, held = mlsql.all_frame(), mlsql.get_validate_frame()
print("columns", list(frame.columns), "features", mlsql.feature_columns, "label", mlsql.label_column)
print("types", [str(kind) for kind in frame.dtypes], mlsql.signature().classes)
assert frame.equals(__import__("pandas").concat(mlsql.read_frames(7), ignore_index=True))
assert sum(batch.num_rows for batch in mlsql.read_arrow()) == len(frame)
assert list(held.columns) == list(frame.columns)
mlsql.report(rows=len(frame), ages=frame[mlsql.feature_columns[0]].sum(), nulls=frame["city"].isna().sum(), held=len(held))
mlsql_model.sk_save_model(1)
"""


def manifest_of(path: Path) -> Manifest:
    return read_manifest(Location.of(str(path)))


def log_of(path: Path) -> str:
    return (path / "_model_1/logs/0.log").read_text()


def samples_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO((path / "_model_1/meta/samples.parquet").read_bytes())).to_pylist()
    return rows


def test_named_columns_reach_the_script_and_the_version_has_their_signature(
    run_plan: RunPlan, tmp_path: Path, script: Script
) -> None:
    options: dict[str, Any] = {"feature_columns": ("AGE", "city", "pair"), "label_column": "churned"}
    train = trained(tmp_path / "m", table="people", script_path=script(LOOK), **options)
    assert dict(train_result(run_plan(TABLE, train)).fits[0].metrics) == {"rows": 60, "ages": 1770, "nulls": 15, "held": 0}
    assert "columns ['Age', 'city', 'pair', 'Churned'] features ['Age', 'city', 'pair'] label Churned" in log_of(tmp_path / "m")
    assert "types ['Int64', 'object', 'object', 'object'] ('no', 'yes')" in log_of(tmp_path / "m")
    manifest = manifest_of(tmp_path / "m")
    assert manifest.data.columns == {"Age": "bigint", "city": "string", "pair": "array<bigint>", "Churned": "string"}
    assert (manifest.data.feature_column, manifest.data.feature_width) == (None, None)
    assert manifest.signature == Signature(
        features=(
            Column(name="Age", type="bigint"),
            Column(name="city", type="string"),
            Column(name="pair", type="array<bigint>"),
        ),
        label=Column(name="Churned", type="string"),
        classes=("no", "yes"),
    )
    samples = samples_of(tmp_path / "m")
    assert (len(samples), list(samples[0])) == (5, ["Age", "city", "pair", "Churned"])


STACK = """
import mlsql, mlsql_model
X, y = mlsql.all_data()
held, _ = mlsql.get_validate_data()
mlsql.report(rows=X.shape[0], width=X.shape[1], total=X.sum(), yes=(y == "yes").sum(), held=held.shape[0], last=held[-1, -1])
mlsql_model.sk_save_model(1)
"""


def test_numbers_and_arrays_are_stacked_and_a_validation_table_may_spell_columns_in_its_own_way(
    run_plan: RunPlan, tmp_path: Path, script: Script
) -> None:
    other = Select(
        table="other", sql="select 'x' as more, Churned as CHURNED, array(7, 8) as PAIR, 1L as age, 0d as income from people"
    )
    options: dict[str, Any] = {"feature_columns": ("age", "income", "pair"), "label_column": "churned", "validate_table": "other"}
    train = trained(tmp_path / "m", table="people", script_path=script(STACK), **options)
    metrics = dict(train_result(run_plan(TABLE, other, train)).fits[0].metrics)
    assert metrics == {"rows": 60, "width": 4, "total": 1770 * 3.5 + 60, "yes": 12, "held": 60, "last": 8}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"fit_params": ({"inputCol": "PIXELS"},)}, ("pixels", "vector", 692, None)),
        ({"fit_params": ({"inputCol": "pair", "label": "age"}, {})}, ("pair", "array<bigint>", None, "Age")),
        ({"feature_columns": ("income",), "keep_sample_rows": False}, ("income", "double", None, None)),
    ],
)
def test_versions_without_several_columns_have_signatures_and_samples_too(
    run_plan: RunPlan, tmp_path: Path, script: Script, options: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    name, kind, width, label = expected
    save = script("import mlsql_model; mlsql_model.sk_save_model(1)")
    train_result(run_plan(TABLE, trained(tmp_path / "m", table="people", script_path=save, **options)))
    manifest = manifest_of(tmp_path / "m")
    assert manifest.signature is not None
    assert manifest.signature.features == (Column(name=name, type=kind),)
    assert (manifest.data.feature_column, manifest.data.feature_width) == (name, width)
    assert (manifest.signature.label and manifest.signature.label.name) == label
    assert manifest.signature.classes == (tuple(range(60)) if label else None)
    has_samples = (tmp_path / "m/_model_1/meta/samples.parquet").exists()
    assert has_samples == options.get("keep_sample_rows", True)
    if has_samples:
        assert [list(row) for row in samples_of(tmp_path / "m")] == [[name] if label is None else [name, label]] * 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_columns": ("age", "citi")}, "'people' has no column 'citi', which featureCols names; did you mean 'city'?"),
        ({"label_column": "churn"}, "no column 'churn', which labelCol names; did you mean 'Churned'?"),
        ({"feature_columns": ("pair", "pixels"), "validate_table": "data"}, "validation table 'data' has no column 'pair'"),
        ({"feature_columns": ("age",), "source": "mlsql.sklearn_all_data()"}, "reads labels; name their column as label_column"),
        ({"label_column": "city"}, "column 'city' of the training table holds 15 nulls in 60 rows, and labels must not"),
        (
            {"fit_params": ({"inputCol": "pair", "label": "city"},), "source": "mlsql.all_data()"},
            "column 'city' of the training table holds 15 nulls in 60 rows",
        ),
        ({"label_column": "pixels", "validate_fraction": 0.5, "stratify": True}, "'pixels' is of type vector; stratify is for"),
        (
            {"label_column": "city", "validate_fraction": 0.5, "stratify": True},
            "'city' holds 15 nulls, and stratify needs classes",
        ),
        ({"validate_fraction": 0.5, "stratify": True}, "stratify needs a label"),
    ],
)
def test_wrong_columns_are_refused_before_any_group_runs(
    run_plan: RunPlan, tmp_path: Path, script: Script, options: dict[str, Any], message: str
) -> None:
    source = script(f"import mlsql\nprint('ran')\n{options.pop('source', 'mlsql.read_data()')}")
    error = run_plan(TABLE, trained(tmp_path / "m", table="people", script_path=source, **options)).error
    assert error is not None
    assert (error["kind"], message in error["message"]) == ("DataError", True), error["message"]
    assert not (tmp_path / "m").exists()


def test_a_script_that_reads_no_labels_may_have_nulls_there(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    source = script("import mlsql, mlsql_model; list(mlsql.read_data()()); mlsql_model.sk_save_model(1)")
    train = trained(tmp_path / "m", table="people", script_path=source, fit_params=({"label": "city"},))
    assert train_result(run_plan(TABLE, train)).rows == 60


HELD = """
import mlsql, mlsql_model
counts = {f"{part}_{label}": count for part, frame in (("left", mlsql.all_frame()), ("held", mlsql.get_validate_frame()))
          for label, count in frame[mlsql.label_column].value_counts().items()}
ages = [*mlsql.all_frame()["Age"], *mlsql.get_validate_frame()["Age"]]
assert sorted(ages) == list(range(60))
mlsql.report(**counts)
mlsql_model.sk_save_model(1)
"""


def test_stratify_holds_out_the_same_share_of_each_class(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    train = trained(
        tmp_path / "m",
        table="people",
        script_path=script(HELD),
        feature_columns=("age",),
        label_column="churned",
        validate_fraction=0.25,
        stratify=True,
    )
    metrics = dict(train_result(run_plan(TABLE, train)).fits[0].metrics)
    assert metrics == {"left_yes": 9, "held_yes": 3, "left_no": 36, "held_no": 12}


@pytest.fixture
def observe(spark: SparkSession) -> Callable[..., TableFacts]:
    """``observe(sql)``: what a job observes of the column ``y``."""

    def observe_label(sql: str) -> TableFacts:
        observation = TableObservation(spark.sql(sql), ColumnRoles(label="y"))
        observation.table.write.format("noop").mode("overwrite").save()
        return observation.facts()

    return observe_label


@pytest.mark.parametrize(
    ("expression", "classes", "nulls"),
    [
        ("if(id % 3 = 0, null, concat('ä', id % 2))", ("ä0", "ä1"), 1667),
        ("id % 2 = 0", (False, True), 0),
        ("cast(id % 1000 as int)", tuple(range(1000)), 0),
        ("cast(id % 1001 as smallint)", None, 0),
        ("id", None, 0),
        ("double(id % 3) - 1", (-1.0, 0.0, 1.0), 0),
        ("float(id % 2) / 2", None, 0),
        ("double(id)", None, 0),
        ("rand(1)", None, 0),
        ("cast(null as string)", (), 5000),
        ("cast(id % 2 as decimal(10,0))", None, 0),
        ("if(id < 4000, 0, id)", None, 0),
        ("double(if(id = 7, 'nan', '1'))", None, 0),
    ],
)
def test_classes_and_nulls_are_those_of_the_label(
    observe: Callable[..., TableFacts], expression: str, classes: tuple[Any, ...] | None, nulls: int
) -> None:
    facts = observe(f"select {expression} as y from range(0, 5000, 1, 4)")
    assert (facts.label, facts.label_nulls, facts.classes) == ("y", nulls, classes)
    if classes:
        assert {type(each) for each in facts.classes or ()} == {type(classes[0])}
