"""``mlsql doctor``: find out why jobs cannot run on this machine or on a host of the cluster."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from mlsql_runtime.cli.job import run_job
from mlsql_runtime.cli.options import (
    FILE,
    CommandArguments,
    conf_option,
    declared_option,
    json_option,
    master_option,
    pairs_option,
)
from mlsql_runtime.cli.output import format_count, format_size, format_value, print_fields, print_heading, print_json
from mlsql_runtime.cli.process import OK, WRONG_INPUT, choose_exit_code
from mlsql_runtime.errors import MLSQLError, to_json
from mlsql_runtime.plan import NO_SECRETS, Plan, Preflight, PythonEnv
from mlsql_runtime.plan.options import own_options, read_options
from mlsql_runtime.spark_versions import check_installation

if TYPE_CHECKING:
    from mlsql_runtime.result import HostReport, PreflightResult

JAVA_SECONDS = 30
_PYTHON = own_options(PythonEnv)


@dataclass(frozen=True)
class MachineReport:
    """Facts about this machine, and the problems that keep jobs from running on it."""

    facts: dict[str, str | None]
    problems: tuple[str, ...]


@click.command(short_help="Check this machine, and every host of a cluster.")
@master_option
@conf_option
@click.option("--script", type=FILE, metavar="PATH", help="A script or project, whose imports are checked.")
@click.option(
    "--runs",
    type=click.Choice(["train", "register", "predict"]),
    default="train",
    show_default=True,
    help="The kind of statement that runs the script.",
)
@declared_option("--python", _PYTHON["path"], metavar="PATH")
@declared_option("--python-ver", _PYTHON["version"], metavar="VERSION")
@declared_option("--requirements", _PYTHON["requirements"], type=FILE, metavar="FILE")
@declared_option("--archive", _PYTHON["archives"], multiple=True, metavar="PATH#NAME")
@pairs_option("--env", "envs", help=_PYTHON["envs"].doc)
@click.option("--model-path", metavar="PATH", help="A model path that all hosts must be able to use.")
@click.option("--path", "paths", multiple=True, metavar="PATH", help="A path of local data that all hosts must have.")
@json_option
def doctor(master: str, conf: dict[str, str], runs: str, model_path: str | None, as_json: bool, **options: Any) -> int:
    """Check what jobs need: Java, Spark, the interpreter and its packages, scratch space, storage.

    First this machine is checked; then, by a short Spark application, every
    host of the cluster. Nothing is trained, no data are read.

    \b
    Examples:
      mlsql doctor --script train.py
      mlsql doctor --master spark://host:7077 --script train.py \\
          --python /opt/py312/bin/python --model-path /mnt/models/spam
    """
    from mlsql_runtime.result import PreflightResult

    statement = _make_statement(runs=runs, model_path=model_path, **options)
    machine = inspect_machine()
    hosts, error = PreflightResult(hosts=(), silent=()), None
    if not machine.problems:
        try:
            hosts = _inspect_hosts(statement, master, conf)
        except MLSQLError as raised:
            error = raised
    if as_json:
        print_json(_to_document(machine, hosts, error))
    else:
        _print_reports(machine, hosts, error, master)
    if error is not None:
        return choose_exit_code(error)
    return WRONG_INPUT if machine.problems or hosts.problems else OK


def _make_statement(*, runs: str, model_path: str | None, script: str | None, paths: tuple[str, ...], **given: Any) -> Preflight:
    """Return the options as a statement, which checks them."""
    arguments = CommandArguments(given)
    return Preflight(
        script_path=script,
        runs=runs,  # type: ignore[arg-type]
        model_path=model_path,
        paths=tuple(path if ":" in path else os.path.abspath(path) for path in paths),
        python=PythonEnv(**read_options(PythonEnv, arguments)),
    )


def inspect_machine() -> MachineReport:
    """Look for Java, spark-submit and the Python that starts jobs. Spark does not start."""
    from mlsql_runtime.submission.spark_submit import build_environment

    problems: list[str] = []
    java = _find_java(problems)
    env = build_environment("doctor")
    spark_submit = shutil.which("spark-submit", path=env.get("PATH"))
    if spark_submit is None:
        problems.append("spark-submit is missing; pip install pyspark, or set SPARK_HOME")
    try:
        check_installation()
    except MLSQLError as error:
        problems.append(error.message)
    facts = {"host": socket.gethostname(), "python": f"{sys.version.split()[0]}, {sys.executable}", "java": java}
    facts = facts | {"spark-submit": spark_submit, "shared classes": _find_archives(env)}
    return MachineReport(facts, tuple(problems))


def _find_archives(env: Mapping[str, str]) -> str:
    """Return where the files of classes are with which jobs start."""
    from mlsql_runtime.submission.class_archive import find_folder

    with contextlib.suppress(OSError, RuntimeError):
        folder = find_folder(env)
        if folder is not None and folder.exists():
            return str(folder)
    return "none; with those of mlsql share-classes, jobs start faster"


def _find_java(problems: list[str]) -> str | None:
    """Return the version that Java prints, and its path; add a problem when it is missing or too old."""
    home = os.environ.get("JAVA_HOME")
    command = os.path.join(home, "bin/java") if home else "java"
    try:
        printed = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=JAVA_SECONDS, check=False).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        where = "JAVA_HOME has none" if home else "PATH has none"
        problems.append(f"Spark needs Java 17 or newer, and {where} ({error}); install it, or correct JAVA_HOME")
        return None
    first = next((line for line in printed.splitlines() if " version " in line), "")
    version = first.partition('"')[2].partition('"')[0]
    major = re.match(r"\d+", version)
    if major is None or int(major[0]) < 17:
        problems.append(f"Spark needs Java 17 or newer, and {command} is {version or 'not Java'}; install it, or set JAVA_HOME")
    return f"{version}, {shutil.which(command) or command}" if version else None


def _inspect_hosts(statement: Preflight, master: str, conf: dict[str, str]) -> PreflightResult:
    from mlsql_runtime.result import PreflightResult

    plan = Plan(job_id=f"doctor/{secrets.token_hex(4)}", statements=(statement,))
    [result] = run_job(plan, NO_SECRETS, master, conf).steps
    assert isinstance(result, PreflightResult)
    return result


def _to_document(machine: MachineReport, hosts: PreflightResult, error: MLSQLError | None) -> dict[str, Any]:
    return {
        "ok": not (machine.problems or hosts.problems or error),
        "here": {"facts": machine.facts, "problems": machine.problems},
        "hosts": hosts.hosts,
        "silent": hosts.silent,
        "error": to_json(error) if error else None,
    }


def _print_reports(machine: MachineReport, hosts: PreflightResult, error: MLSQLError | None, master: str) -> None:
    print_heading("this machine")
    print_fields(machine.facts, indent=2)
    for report in hosts.hosts:
        is_driver = report.executor == "driver"
        print_heading(f"Spark on {master}" if is_driver else f"host {report.host}, executor {report.executor}")
        print_fields(dict(_list_facts(report)), indent=2)
    for host in hosts.silent:
        click.echo(f"\nan executor on {host} did not respond")
    problems = [*machine.problems, *([error.message] if error else []), *(each.message for each in hosts.problems)]
    click.echo()
    for text in problems:
        click.echo(f"wrong: {text}")
    click.echo(f"{format_count(len(problems), 'problem')} to solve" if problems else "no problems")


def _list_facts(report: HostReport) -> Iterator[tuple[str, str | None]]:
    yield "interpreter", report.interpreter or "none"
    versions = dict(report.versions)
    yield "python", versions.pop("python", None)
    yield "packages", format_value(", ".join(f"{name} {version}" for name, version in versions.items())) or None
    yield "scratch", f"{report.scratch}, {format_size(report.free)} free" if report.free is not None else report.scratch or None
    yield "problems", format_count(len(report.problems), "problem") if report.problems else "none"
