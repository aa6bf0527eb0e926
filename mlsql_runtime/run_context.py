"""The state that the statements of one run share: session, tables, secrets, trained versions."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from mlsql_runtime.data_sets import LineageRecord
from mlsql_runtime.errors import InputError, SessionNeeded, did_you_mean
from mlsql_runtime.event_channel import EventServer
from mlsql_runtime.lineage import Definition
from mlsql_runtime.plan import Plan, Secrets, StorageAccess
from mlsql_runtime.scoring.udf import register_function
from mlsql_runtime.store.function_records import FunctionRecord

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_Path = TypeVar("_Path", str, str | None)


@dataclass(frozen=True)
class RunContext:
    """The run of a plan, as its handlers see it.

    ``session`` is None in a job that has started no Spark. ``cleanup`` is closed at the end of the run, also after an error.
    ``index`` is the number of the current statement, from 0.
    ``definitions`` says how each table was made, by its name in lower case, which Spark does not tell from others.
    ``trained`` maps model paths to the versions that this run has trained: later statements that ask for the newest version get
    these. ``functions`` are the packages that queries can call, by name.
    ``lineage`` gets what the statements read and write, if the plan asks for it.
    """

    plan: Plan
    session: SparkSession | None
    cleanup: ExitStack
    secrets: Secrets = field(default_factory=Secrets)
    tables: dict[str, DataFrame] = field(default_factory=dict)
    definitions: dict[str, Definition] = field(default_factory=dict)
    trained: dict[str, int] = field(default_factory=dict)
    functions: dict[str, FunctionRecord] = field(default_factory=dict)
    lineage: LineageRecord = field(default_factory=LineageRecord)
    index: int = 0

    @property
    def job_id(self) -> str:
        return self.plan.job_id

    @property
    def access(self) -> StorageAccess:
        """The job's connections to storage."""
        return self.secrets.storage

    @property
    def spark(self) -> SparkSession:
        """The session.

        :raises SessionNeeded: when there is none.
        """
        if self.session is None:
            raise SessionNeeded(f"{self.plan.statements[self.index].outline.title} needs Spark")
        return self.session

    @property
    def is_local(self) -> bool:
        """Whether driver and executors run on one machine."""
        return self.session is None or str(self.spark.sparkContext.master).partition("[")[0] == "local"

    @property
    def task_cpus(self) -> int:
        return int(self.spark.conf.get("spark.task.cpus", "1") or 1)

    def locate_script(self, path: _Path) -> _Path:
        """Return where the driver reads the script of the current statement. Messages name ``path``, which is the user's own."""
        copies = self.plan.script_copies
        copy = copies[self.index] if self.index < len(copies) else None
        return path if copy is None else copy

    def create_event_server(self) -> EventServer:
        """Return a server for the events of executors. Behind a gateway or in a container the driver listens on another address
        than that of its name.
        """
        host = str(self.spark.conf.get("spark.driver.host"))
        return EventServer(host, str(self.spark.conf.get("spark.driver.bindAddress", host)))

    def define(self, name: str, table: DataFrame) -> None:
        """Make the table of the current statement available to later statements and to SQL."""
        table.createOrReplaceTempView(name)
        self.tables[name] = table
        self.definitions[name.lower()] = Definition(self.plan.statements[self.index], table, dict(self.definitions))

    def table(self, name: str) -> DataFrame:
        """Return a table that an earlier statement defined.

        :raises InputError: when there is no such table; the message names the tables that exist.
        """
        if name not in self.tables:
            raise InputError(f"there is no table '{name}'{did_you_mean(name, self.tables)}", table=name)
        return self.tables[name]

    def serve(self, name: str, record: FunctionRecord) -> None:
        """Make a function package callable in the queries of later statements, of which there are none without a session."""
        if self.session is not None:
            register_function(self.session, name, record, self.access)
        self.functions[name] = record
