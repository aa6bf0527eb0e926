"""load from text, save in so many files, the table of a training's results, the first rows of a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.workbench import RunPlan, Script

from mlsql_runtime.plan import Load, Save, Select, Show, Train
from mlsql_runtime.result import SaveResult, ShowResult


def shown(run_plan: RunPlan, *statements: Any) -> ShowResult:
    result = run_plan(*statements)
    result.raise_for_error()
    assert isinstance(result.steps[-1], ShowResult)
    return result.steps[-1]


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


QUERY = """select 1Y as a, 2.5D as b, double('nan') as c, null as d, 1.10BD as e, date'2024-05-01' as f,
    timestamp'2024-05-01 12:00:00' as g,
    array(1, null) as h, named_struct('x', 1, 'y', 'z') as i, map('k', 1) as j, map(1, 2) as k, X'00ff' as l, true as m,
    interval 2 days as n, 'é' as o, float('-inf') as p"""


def test_every_type_is_shown(run_plan: RunPlan) -> None:
    found = shown(run_plan, Select(table="t", sql=QUERY), Show(table="t"))
    row = dict(zip(found.columns, found.rows[0], strict=True))
    assert row == {
        "a": 1, "b": 2.5, "c": "nan", "d": None, "e": "1.10", "f": "2024-05-01", "g": "2024-05-01T12:00:00", "h": [1, None],
        "i": {"x": 1, "y": "z"}, "j": {"k": 1}, "k": {"1": 2}, "l": "AP8=", "m": True, "n": "2 days, 0:00:00", "o": "é",
        "p": "-inf",
    }  # fmt: skip
    assert not found.more


def test_vectors_are_shown(run_plan: RunPlan) -> None:
    found = shown(run_plan, Select(table="t", sql="select label, features from data"), Show(table="t", rows=1))
    label, features = found.rows[0]
    assert (label, found.more) == (0.0, True)
    assert features.startswith('{"size": 692, "indices": [')  # too long for a result, so it is text
    assert len(features) == 1001


def test_rows_are_bounded(run_plan: RunPlan) -> None:
    assert len(shown(run_plan, Show(table="data", rows=1)).rows) == 1
    wide = ", ".join(f"repeat('x', 10000) as c{n}" for n in range(120))
    found = shown(run_plan, Select(table="t", sql=f"select {wide} from range(50)"), Show(table="t", rows=50))
    assert (len(found.columns), len(found.rows), found.more) == (100, 2, True)
    assert len(json.dumps(found.rows)) <= 256 << 10
    found = shown(run_plan, Select(table="t", sql="select repeat('中', 900) as c from range(100)"), Show(table="t", rows=100))
    assert found.more
    assert len(json.dumps(found.rows)) <= 256 << 10


def test_columns_may_have_one_name(run_plan: RunPlan) -> None:
    found = shown(run_plan, Select(table="t", sql="select 1 as a, 2 as a"), Show(table="t"))
    assert (found.columns, found.rows) == (("a", "a"), ((1, 2),))


def test_an_error_says_which_statement(run_plan: RunPlan, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_plan(Select(table="t", sql="select 1 as a"), Select(table="u", sql="select b from t"))
    assert result.error is not None
    assert result.error["statement"] == 2
    assert "[mlsql] (2/3) select t\n[mlsql] (3/3) select u\n" in capsys.readouterr().out
