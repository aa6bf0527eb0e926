"""load from text, save in so many files, the table of a training's results."""

from __future__ import annotations

from pathlib import Path

from support.showing import shown
from support.workbench import RunPlan, Script

from mlsql_runtime.plan import Load, Save, Select, Show, Train
from mlsql_runtime.result import SaveResult


def test_json_text(run_plan: RunPlan) -> None:
    table = Load(table="t", format="json", text='{"a": 1, "b": "x;y"}\n\n{"a": 2}\r\n')
    assert shown(run_plan, table, Show(table="t")).rows == ((1, "x;y"), (2, None))


def test_json_text_over_lines(run_plan: RunPlan) -> None:
    table = Load(table="t", format="json", text='[{"a":\n 1},\n {"a": 2}]', options={"multiLine": "true"})
    assert shown(run_plan, table, Show(table="t")).rows == ((1,), (2,))


def test_only_line_ends_end_lines(run_plan: RunPlan) -> None:
    table = Load(table="t", format="json", text='{"a": "x\u2028y\x85"}\r{"a": "z"}')
    assert shown(run_plan, table, Show(table="t")).rows == (("x\u2028y\x85",), ("z",))


def test_csv_text(run_plan: RunPlan) -> None:
    table = Load(table="t", format="csv", text="a|b\n1|é\n2|", options={"header": "true", "sep": "|", "inferSchema": "true"})
    found = shown(run_plan, table, Show(table="t"))
    assert (found.columns, found.rows) == (("a", "b"), ((1, "é"), (2, None)))


def test_the_number_of_files(run_plan: RunPlan, tmp_path: Path) -> None:
    result = run_plan(Save(table="data", format="parquet", path=str(tmp_path / "o"), file_num=3))
    result.raise_for_error()
    assert len(list((tmp_path / "o").glob("*.parquet"))) == 3
    assert result.steps[-1] == SaveResult(format="parquet", output=str(tmp_path / "o"), rows=100)


def test_results_of_a_training_are_a_table(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    source = (
        "import mlsql, mlsql_model; print('mlsql_validation_score:%f' % float(mlsql.fit_param['alpha']));"
        "mlsql_model.sk_save_model(1)"
    )
    train = Train(
        table="data",
        model_path=str(tmp_path / "m"),
        script_path=script(source),
        fit_params=({"alpha": "1.0"}, {"alpha": "nonsense"}),
        validate_table="data",
        result="groups",
    )
    query = Select(table="best", sql="select algIndex, status, score is null, trainParams['alpha'] from groups order by algIndex")
    found = shown(run_plan, train, query, Show(table="best"))
    assert found.rows == ((0, "success", False, "1.0"), (1, "failed", True, "nonsense"))
