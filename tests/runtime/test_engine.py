"""The engine runs statements in order."""

from __future__ import annotations

import pytest
from support.workbench import RunPlan

from mlsql_runtime.plan import Select


def test_an_error_says_which_statement(run_plan: RunPlan, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_plan(Select(table="t", sql="select 1 as a"), Select(table="u", sql="select b from t"))
    assert result.error is not None
    assert result.error["statement"] == 2
    assert "[mlsql] (2/3) select t\n[mlsql] (3/3) select u\n" in capsys.readouterr().out
