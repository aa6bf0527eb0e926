"""The show statement: the first rows of a table, as values of JSON."""

from __future__ import annotations

import json

from support.showing import shown
from support.workbench import RunPlan

from mlsql_runtime.plan import Select, Show

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


def test_what_python_has_no_values_for_is_shown_as_text(run_plan: RunPlan) -> None:
    query = """select 1 as a, date'9999-12-31' + interval 1 day as b, interval 3 months as c, make_interval(1, 2) as d,
        array(interval 1 year) as e, map(array(1), 2) as f, 'x' as g"""
    found = shown(run_plan, Select(table="t", sql=query), Show(table="t"))
    months, years = "INTERVAL '3' MONTH", "[INTERVAL '1' YEAR]"
    assert found.rows == ((1, "+10000-01-01", months, "1 years 2 months", years, "{[1] -> 2}", "x"),)


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


def test_a_wide_row_of_other_letters_is_shown(run_plan: RunPlan) -> None:
    columns = ", ".join(f"repeat('é', 900) as c{number}" for number in range(60))
    found = shown(run_plan, Select(table="t", sql=f"select {columns} from range(2)"), Show(table="t"))
    assert [row[0] for row in found.rows] == ['"' + "é" * 499 + "…"]
    assert found.more


def test_columns_may_have_one_name(run_plan: RunPlan) -> None:
    found = shown(run_plan, Select(table="t", sql="select 1 as a, 2 as a"), Show(table="t"))
    assert (found.columns, found.rows) == (("a", "a"), ((1, 2),))
