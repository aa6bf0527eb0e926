"""The rows of a table, by the show statement."""

from __future__ import annotations

from mlsql_runtime.plan import Statement
from mlsql_runtime.result import ShowResult
from support.workbench import RunPlan


def shown(run_plan: RunPlan, *statements: Statement) -> ShowResult:
    """Run the statements, and return the result of the last one, which shows a table."""
    result = run_plan(*statements)
    result.raise_for_error()
    step = result.steps[-1]
    assert isinstance(step, ShowResult)
    return step
