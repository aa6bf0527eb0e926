"""Check all hosts of an application before any data move, and report all problems in one error."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlsql_runtime.event_channel import EventAddress, EventClient
from mlsql_runtime.events import log
from mlsql_runtime.plan import Plan
from mlsql_runtime.preflight.executors import Executor, run_on_every_executor, this_executor
from mlsql_runtime.preflight.host_check import HostNeeds, check_host
from mlsql_runtime.preflight.python_diagnosis import diagnose_python
from mlsql_runtime.result import HostReport, PreflightResult
from mlsql_runtime.spark_errors import translate
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout

if TYPE_CHECKING:
    from pyspark import SparkContext

    from mlsql_runtime.run_context import RunContext

LABEL = "preflight"


@dataclass(frozen=True)
class PreflightOutcome:
    """A preflight without problems: what was checked, on which hosts, and the versions that the script will find there."""

    needs: HostNeeds
    hosts: tuple[str, ...]
    versions: Mapping[str, str]

    def check_this_host(self) -> None:
        """Check the host of this task, if it joined after the preflight.

        :raises PreflightFailed: with all problems of this host.
        """
        executor = this_executor()
        if executor.host not in self.hosts:
            report = check_host(self.needs, executor.host, executor.id, log)
            PreflightResult(hosts=(report,), silent=()).raise_for_problems()


def run_preflight(context: RunContext, needs: HostNeeds, staging: Location) -> PreflightOutcome:
    """Check every host, and log where their packages differ.

    :param staging: a folder below the model path, which executors have to see.
    :raises PreflightFailed: with all problems of all hosts.
    """
    paths: tuple[str, ...] = ()
    if not context.is_local:
        paths = local_input_paths(context.plan, context.index, _default_file_system(context.spark.sparkContext))
    needs = replace(needs, seen=(staging / layout.CLAIM).uri, access=staging.access, paths=paths)
    found = check_hosts(context, needs)
    found.raise_for_problems()
    _log_differences(found.hosts)
    versions = found.hosts[0].versions if found.hosts else {}
    return PreflightOutcome(needs, tuple({report.host: None for report in found.hosts}), versions)


def check_hosts(context: RunContext, needs: HostNeeds) -> PreflightResult:
    """Return a report on every executor; with a local master on this machine, without a Spark job."""
    if context.is_local:
        report = check_host(needs, socket.gethostname(), "driver", lambda line: log(line, LABEL))
        return PreflightResult(hosts=(report,), silent=())
    spark_context = context.spark.sparkContext
    with context.create_event_server() as events:
        address = events.address
        try:
            reports, silent = run_on_every_executor(spark_context, lambda executor: _check(needs, executor, address))
        except Exception as error:  # the executors' own Python does not run our tasks: find out where, and why
            return _diagnose(spark_context, error)
    for host in silent:
        log(f"an executor on {host} did not respond", LABEL)
    return PreflightResult(
        hosts=tuple(sorted(reports.values(), key=lambda report: (report.host, report.executor))), silent=silent
    )


def _diagnose(context: SparkContext, error: Exception) -> PreflightResult:
    """Return reports on the executors' own Python if it has problems; else raise ``error``."""
    hosts: tuple[HostReport, ...] = ()
    with contextlib.suppress(Exception):  # the job may be about to be cancelled
        hosts = diagnose_python(context)
    if not any(report.problems for report in hosts):
        raise translate(error) from error
    return PreflightResult(hosts=hosts, silent=())


def _check(needs: HostNeeds, executor: Executor, events: EventAddress) -> HostReport:
    with contextlib.closing(EventClient(events, LABEL)) as client:
        return check_host(needs, executor.host, executor.id, client.log)


def _log_differences(hosts: Sequence[HostReport]) -> None:
    """Log packages whose versions differ between hosts: models that were trained with different ones cannot be compared."""
    for name in sorted({name for report in hosts for name in report.versions}):
        by_version: dict[str, str] = {}
        for report in hosts:
            by_version.setdefault(report.versions.get(name, "none"), report.host)
        if len(by_version) > 1:
            found = ", ".join(f"{version} on {host}" for version, host in sorted(by_version.items()))
            log(f"hosts differ in {name}: {found}", LABEL)


def _default_file_system(context: SparkContext) -> str:
    """Return the file system of paths without a scheme, such as ``file:///`` or ``hdfs://name``."""
    return str(context._jsc.hadoopConfiguration().get("fs.defaultFS", "file:///"))


def local_input_paths(plan: Plan, upto: int, default: str = "file:///") -> tuple[str, ...]:
    """Return the local paths that earlier statements read, and that no statement writes.

    :param upto: the number of statements that are earlier.
    :param default: the file system of paths without a scheme.
    """
    schemes = ("file:", "/") if default.startswith("file:") else ("file:",)
    outlines = [each.outline for each in plan.statements]
    saved = tuple(each.writes_files.rstrip("/") + "/" for each in outlines if each.writes_files is not None)
    paths = [each.reads_files for each in outlines[:upto] if each.reads_files is not None]
    return tuple(
        Location.of(path).path for path in paths if path.startswith(schemes) and not f"{path.rstrip('/')}/".startswith(saved)
    )
