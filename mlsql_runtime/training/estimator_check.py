"""A check of the fit groups of built-in algorithms, by the interpreter that will train them, before any data are moved."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import RESOURCE, Train, get_builtin_name
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.process import run_script, scratch_dir
from mlsql_runtime.script.protocol import ScriptInput
from mlsql_runtime.spark_errors import errors_for_driver

CHECK = "check.py"  # of a built-in algorithm: prints a line for each group that it cannot train
_ABOUT_A_GROUP = "fitParam."


def check_builtin_algorithm(statement: Train, bundle: ScriptBundle, context: RunContext) -> None:
    """Check the fit groups of a built-in algorithm; a script of the user's own is not checked.

    :raises InputError: with the problems of all groups, such as a class that is not an estimator.
    """
    algorithm = get_builtin_name(statement.script_path)
    if algorithm is None:
        return
    groups = [{name: value for name, value in params.items() if not name.startswith(RESOURCE)} for params in statement.fit_params]
    check, python = replace(bundle, entry=CHECK), statement.python
    script_input = ScriptInput(
        role="train",
        fit_params={"groups": json.dumps(groups), "scoreMode": "max" if statement.greater_is_better else "min"},
        system_params=python.system_params,
    )

    def find_problems() -> list[str]:
        """Return one sentence for each group that cannot be trained."""
        lines: list[str] = []
        with tempfile.TemporaryDirectory(prefix="mlsql-check-", dir=scratch_dir()) as folder:
            outcome = run_script(check, script_input, Path(folder), python, lambda event: lines.append(event.text))
        if outcome.problem is None:
            return []
        found = [line for line in lines if line.startswith(_ABOUT_A_GROUP)]
        return found or [f"the built-in algorithm {algorithm} cannot be used: {outcome.problem}"]

    def find_on_executor(_: object) -> list[str]:
        with errors_for_driver():
            return find_problems()

    if context.is_local:
        problems = find_problems()
    else:
        problems = context.spark.sparkContext.parallelize([None], 1).map(find_on_executor).collect()[0]
    if problems:
        raise InputError("; ".join(problems), problems=problems)
