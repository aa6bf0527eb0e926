"""Before any data move: what executors need to run a script, on all their hosts, in one error."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlsql_runtime.event_channel import EventAddress, EventClient, EventServer
from mlsql_runtime.events import log
from mlsql_runtime.plan import Plan, PythonEnv
from mlsql_runtime.preflight.executors import Executor, run_on_every_executor, this_executor
from mlsql_runtime.preflight.host import HostNeeds, check_host
from mlsql_runtime.preflight.python_diagnosis import diagnose_python
from mlsql_runtime.result import HostReport, PreflightResult
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.imports import NO_FEED, Feed, required_modules
from mlsql_runtime.spark_errors import translate
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import DataFrame

    from mlsql_runtime.run_context import RunContext

LABEL = "preflight"


@dataclass(frozen=True)
class PreflightOutcome:
    """What was asked of the hosts, which were looked at, and the versions that the script will find."""

    wanted: HostNeeds
    hosts: tuple[str, ...]
    versions: Mapping[str, str]


def run_preflight(context: RunContext, wanted: HostNeeds, staging: Location) -> PreflightOutcome:
    """Look at every host.

    :param staging: a folder below the model path, which executors have to see.
    :raises PreflightFailed: with everything that is wrong, of all hosts.
    """
    paths = (
        ()
        if context.is_local
        else local_input_paths(context.plan, context.index, _default_file_system(context.spark.sparkContext))
    )
    wanted = replace(wanted, seen=(staging / layout.CLAIM).uri, paths=paths)
    found = check_hosts(context, wanted)
    found.raise_for_problems()
    _tell_differences(found.hosts)
    versions = found.hosts[0].versions if found.hosts else {}
    return PreflightOutcome(wanted, tuple({report.host: None for report in found.hosts}), versions)


def needs_of_script(bundle: ScriptBundle, python: PythonEnv, feed: Feed = NO_FEED) -> HostNeeds:
    """What a training or batch script needs, which runs with ``python``."""
    return HostNeeds(python=python, modules=required_modules(bundle, feed))


def needs_of_function(bundle: ScriptBundle) -> HostNeeds:
    """What the function needs that a predict script makes: the executors' own Python runs it."""
    return HostNeeds(modules=required_modules(bundle, NO_FEED), is_function=True)


def feed_of(table: DataFrame | None, is_kafka: bool) -> Feed:
    """What a table is like for the script that reads it; None when nobody has looked at it yet."""
    from pyspark.ml.linalg import VectorUDT

    fields = table.schema.fields if table is not None else []
    return Feed(has_vectors=any(isinstance(each.dataType, VectorUDT) for each in fields), is_kafka=is_kafka)


def check_function_hosts(context: RunContext, bundle: ScriptBundle) -> None:
    """That the function of a predict script runs on all executors. Locally the script itself will tell.

    :raises PreflightFailed: with everything that is wrong, of all hosts.
    """
    if not context.is_local:
        check_hosts(context, needs_of_function(bundle)).raise_for_problems()


def check_hosts(context: RunContext, wanted: HostNeeds) -> PreflightResult:
    """What there is on every host. Locally, which is this machine, without asking Spark."""
    if context.is_local:
        report = check_host(wanted, socket.gethostname(), "driver", lambda line: log(line, LABEL))
        return PreflightResult(hosts=(report,), silent=())
    with EventServer(context.driver_host, context.bind_address) as live:
        address = live.address
        try:
            answers, silent = run_on_every_executor(
                context.spark.sparkContext, lambda executor: _check(wanted, executor, address)
            )
        except Exception as error:  # the executors' own Python does not run our tasks: find out where, and why
            return _diagnosed(context.spark.sparkContext, error)
    for host in silent:
        log(f"an executor on {host} did not answer", LABEL)
    return PreflightResult(
        hosts=tuple(sorted(answers.values(), key=lambda report: (report.host, report.executor))), silent=silent
    )


def _diagnosed(context: SparkContext, error: Exception) -> PreflightResult:
    """Why tasks failed, if it is their Python; else ``error``."""
    hosts: tuple[HostReport, ...] = ()
    with contextlib.suppress(Exception):  # the job may be about to be cancelled
        hosts = diagnose_python(context)
    if not any(report.problems for report in hosts):
        raise translate(error) from error
    return PreflightResult(hosts=hosts, silent=())


def _check(wanted: HostNeeds, executor: Executor, live: EventAddress) -> HostReport:
    client = EventClient(live, LABEL)
    try:
        return check_host(wanted, executor.host, executor.id, client.log)
    finally:
        client.close()


def check_this_host(flight: PreflightOutcome) -> None:
    """In a task, before its work: a host that came after the preflight is looked at now.

    :raises PreflightFailed: with what is wrong here.
    """
    executor = this_executor()
    if executor.host not in flight.hosts:
        report = check_host(flight.wanted, executor.host, executor.id, log)
        PreflightResult(hosts=(report,), silent=()).raise_for_problems()


def _tell_differences(hosts: Sequence[HostReport]) -> None:
    """Groups that run with other packages than others give models that cannot be compared."""
    for name in sorted({name for report in hosts for name in report.versions}):
        by_version: dict[str, list[str]] = {}
        for report in hosts:
            by_version.setdefault(report.versions.get(name, "none"), []).append(report.host)
        if len(by_version) > 1:
            told = ", ".join(f"{version} on {hosts[0]}" for version, hosts in sorted(by_version.items()))
            log(f"hosts differ in {name}: {told}", LABEL)


def _default_file_system(context: SparkContext) -> str:
    """Where paths without a scheme lead, such as ``file:///`` or ``hdfs://name``."""
    return str(context._jsc.hadoopConfiguration().get("fs.defaultFS", "file:///"))


def local_input_paths(plan: Plan, upto: int, default: str = "file:///") -> tuple[str, ...]:
    """Paths of data on local disks that statements before read, and no statement has written.

    :param default: the file system of paths without a scheme.
    """
    schemes = ("file:", "/") if default.startswith("file:") else ("file:",)
    outlines = [each.outline for each in plan.statements]
    saved = tuple(each.writes_files.rstrip("/") for each in outlines if each.writes_files is not None)
    paths = [each.reads_files for each in outlines[:upto] if each.reads_files is not None]
    return tuple(
        Location.of(path).path for path in paths if path.startswith(schemes) and not path.rstrip("/").startswith(saved or ("\0",))
    )
