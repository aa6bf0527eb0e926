"""A plan is a job id and its statements. To change a statement's fields, raise PLAN_VERSION."""

from __future__ import annotations

from dataclasses import dataclass

from mlsql_runtime import codec
from mlsql_runtime.plan.statements import Statement

PLAN_VERSION = 3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Statements to run in order, in one Spark application. ``job_id`` names the job in manifests and failure records."""

    job_id: str
    statements: tuple[Statement, ...]
    plan_version: int = PLAN_VERSION


def dump_plan(plan: Plan) -> str:
    """The plan as JSON text. It may hold secrets (``envs``, reader options): keep it in a file of mode 0600."""
    return codec.dumps(plan)


def load_plan(text: str | bytes, where: str = "plan.json") -> Plan:
    """The plan in JSON text; FormatError names what is unknown, missing or of the wrong type, and where."""
    return codec.loads(Plan, text, where, version=("plan_version", PLAN_VERSION))
