"""A check of the fit groups of built-in algorithms, by the interpreter that will train them, before any data are moved."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mlsql_runtime.errors import InputError
from mlsql_runtime.events import ScriptEvent
from mlsql_runtime.plan import RESOURCE, Train, get_builtin_name
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.process import run_script, scratch_dir
from mlsql_runtime.script.protocol import PROTOCOL_VERSION, ScriptInput
from mlsql_runtime.spark_errors import errors_for_driver

CHECK = "check.py"  # of a built-in algorithm: prints a line for each group that it cannot train
_ABOUT_A_GROUP = "fitParam."


@dataclass(frozen=True)
class _Check:
    statement: Train
    bundle: ScriptBundle
    system_params: dict[str, str]


def check_builtin_algorithm(statement: Train, bundle: ScriptBundle, context: RunContext) -> None:
    """Check the fit groups of a built-in algorithm; a script of the user's own is not checked.

    :raises InputError: with the problems of all groups, such as a class that is not an estimator.
    """
    if get_builtin_name(statement.script_path) is None:
        return
    check = _Check(statement, replace(bundle, entry=CHECK), statement.python.system_params)
    if context.is_local:
        problems = _find_problems(check)
    else:
        problems = context.spark.sparkContext.parallelize([check], 1).mapPartitions(_run).collect()[0]
    if problems:
        raise InputError("; ".join(problems), problems=problems)


def _run(checks: Iterable[_Check]) -> Iterator[list[str]]:
    with errors_for_driver():
        for check in checks:
            yield _find_problems(check)


def _find_problems(check: _Check) -> list[str]:
    """Return one sentence for each group that cannot be trained."""
    groups = [
        {name: value for name, value in params.items() if not name.startswith(RESOURCE)} for params in check.statement.fit_params
    ]
    asked = {"groups": json.dumps(groups), "scoreMode": "max" if check.statement.greater_is_better else "min"}
    script_input = ScriptInput(
        protocol_version=PROTOCOL_VERSION,
        role="train",
        params={"fitParam": asked, "kafkaParam": {}, "internalSystemParam": {}, "systemParam": check.system_params},
    )
    events: list[ScriptEvent] = []
    with tempfile.TemporaryDirectory(prefix="mlsql-check-", dir=scratch_dir()) as name:
        folder = Path(name)
        outcome = run_script(check.bundle, script_input, folder, folder / "log", check.statement.python, events.append)
    if outcome.problem is None:
        return []
    return [event.text for event in events if event.text.startswith(_ABOUT_A_GROUP)] or [
        f"the built-in algorithm {get_builtin_name(check.statement.script_path)} cannot be used: {outcome.problem}"
    ]
