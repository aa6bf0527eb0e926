"""What the steps of one job share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mlsql_runtime.errors import InputError, did_you_mean
from mlsql_runtime.events import log
from mlsql_runtime.plan import Plan, PythonEnv, Secrets, Train
from mlsql_runtime.script.bundle import ScriptBundle

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Job:
    """``cleanup`` runs at the end of the job, however it ends. ``index`` is the number of the statement that runs,
    ``trained`` the versions that this job has trained, by model path: what "the newest" means to its later statements."""

    plan: Plan
    spark: SparkSession
    cleanup: ExitStack
    secrets: Secrets = field(default_factory=Secrets)
    tables: dict[str, DataFrame] = field(default_factory=dict)
    trained: dict[str, int] = field(default_factory=dict)
    index: int = 0

    @property
    def job_id(self) -> str:
        return self.plan.job_id

    @property
    def is_local(self) -> bool:
        """Whether driver and executors are one machine."""
        return str(self.spark.sparkContext.master).partition("[")[0] == "local"

    @property
    def driver_host(self) -> str:
        return str(self.spark.conf.get("spark.driver.host"))

    @property
    def bind_address(self) -> str:
        """Where the driver listens; another address than its name behind a gateway or in a container."""
        return str(self.spark.conf.get("spark.driver.bindAddress", self.driver_host))

    @property
    def task_cpus(self) -> int:
        return int(self.spark.conf.get("spark.task.cpus", "1") or 1)

    def define(self, name: str, table: DataFrame) -> None:
        """Make a table known to later statements and to SQL."""
        table.createOrReplaceTempView(name)
        self.tables[name] = table

    def table(self, name: str) -> DataFrame:
        """A table that an earlier statement made.

        :raises InputError: naming the tables there are.
        """
        if name not in self.tables:
            raise InputError(f"there is no table '{name}'{did_you_mean(name, self.tables)}", table=name)
        return self.tables[name]


def filled(statement: Train, bundle: ScriptBundle) -> Train:
    """The statement with the defaults that the script's project has for parameters.

    :raises InputError: when a parameter is missing, or is not of its type.
    """
    for note in bundle.notes:
        log(f"train: {note}")
    groups = tuple(bundle.fill(params, f"fitParam.{index}") for index, params in enumerate(statement.fit_params))
    return replace(statement, fit_params=groups)


def system_params(python: PythonEnv) -> Mapping[str, str]:
    """The interpreter settings under MLSQL's names; of environment variables and requirements, which may hold secrets, only the
    names, and the digest.
    """
    named = {
        "pythonPath": python.path,
        "pythonVer": python.version,
        "pythonParam": " ".join(python.flags) or None,
        "envs": ",".join(sorted(python.envs)) or None,
        "requirements": _digest(python.requirements),
        "archives": ",".join(python.archives) or None,
        "timeout": None if python.timeout is None else f"{python.timeout:g}",
        "seed": None if python.seed is None else str(python.seed),
    }
    return {key: value for key, value in named.items() if value is not None}


def _digest(text: str | None) -> str | None:
    return None if text is None else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
