"""A plan: a job id and its statements. To change a statement's fields, raise PLAN_VERSION.

Each statement checks what can be known without data or storage when it is made, and raises InputError.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from mlsql_runtime import codec
from mlsql_runtime.plan.predict import Predict
from mlsql_runtime.plan.preflight import Preflight
from mlsql_runtime.plan.register import Register
from mlsql_runtime.plan.tables import Load, Save, Select, Show
from mlsql_runtime.plan.train import Train

PLAN_VERSION = 1
Statement = Load | Select | Train | Register | Predict | Save | Show | Preflight


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The attempt of its job to which a plan belongs.

    :param earlier_since: the earliest time at which the first attempt can have begun; None for the first attempt.
    :param is_last: no attempt follows that could resume what this one leaves unfinished.
    """

    earlier_since: datetime | None = None
    is_last: bool = True

    @property
    def is_retry(self) -> bool:
        return self.earlier_since is not None


SINGLE_ATTEMPT = Attempt()


@dataclass(frozen=True, kw_only=True)
class TaskTry:
    """The try of an Airflow task for which a plan runs. ``map_index`` is None unless the task is mapped."""

    dag_id: str
    task_id: str
    map_index: int | None
    run_id: str
    try_number: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Statements to run in order, in one Spark application.

    :param job_id: the same in all attempts, in manifests and failure records as well.
    :param task: whose job it is, kept in manifests and failure records; None without Airflow.
    :param script_copies: in cluster mode, where the driver finds the script of each statement; None for one that is not copied.
    :param collect_lineage: whether the result names the data sets that the job has read and written.
    """

    job_id: str
    statements: tuple[Statement, ...]
    attempt: Attempt = SINGLE_ATTEMPT
    task: TaskTry | None = None
    script_copies: tuple[str | None, ...] = ()
    collect_lineage: bool = field(default=False, metadata=codec.ADDED)
    plan_version: int = PLAN_VERSION

    def digest(self, index: int) -> str:
        """Return 64 hex digits that identify statement ``index`` and those before it. All attempts of a job have the same digest.

        It is computed by scrypt with the job as salt: statements may hold passwords, which must not be found by brute force.
        """
        upto = codec.dumps(self.statements[: index + 1]).encode()
        return hashlib.scrypt(upto, salt=self.job_id.encode(), n=1 << 14, r=8, p=1, dklen=32).hex()


def dump_plan(plan: Plan) -> str:
    """Return the plan as JSON text. It may hold secrets (``envs``, reader options): keep it in a file of mode 0600."""
    return codec.dumps(plan)


def load_plan(text: str | bytes, where: str = "plan.json") -> Plan:
    """Return the plan in JSON text.

    :raises FormatError: with the place of what is unknown, missing or of the wrong type.
    """
    return codec.loads(Plan, text, where, version=("plan_version", PLAN_VERSION))


def collect_uris(statements: Iterable[Statement]) -> dict[str, str]:
    """Return the paths and URIs that statements name for models, data, scripts and resources, by what errors call them."""
    found: dict[str, str] = {}
    for outline in (statement.outline for statement in statements):
        named = {
            "the model path": outline.model_root,
            f"table '{outline.defines}'": outline.reads_files,
            "the output": outline.writes_files,
            "the script": outline.script.path if outline.script else None,
            **{f"the model path of function {ref.name}": ref.model_path for ref in outline.needs_functions},
            **outline.resources,
        }
        for what, uri in named.items():
            if uri is not None and uri not in found.values():
                found[what if what not in found else f"{what} of {outline.title}"] = uri
    return found


def with_author(statements: Iterable[Statement], author: str | None) -> tuple[Statement, ...]:
    """Return the statements with ``author``, whom the histories of registered functions name, on each registration.

    This is separate from making the statements, because only the caller that runs the plan knows the author.
    """
    return tuple(each.with_author(author) for each in statements)
