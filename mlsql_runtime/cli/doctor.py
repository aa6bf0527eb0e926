"""``mlsql doctor``: what keeps jobs from running, here and on every host of a cluster."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from mlsql_runtime.cli.exit_codes import OK, UNAVAILABLE, WRONG_INPUT
from mlsql_runtime.cli.interruption import interruptible
from mlsql_runtime.cli.output import cell, count_text, print_fields, print_heading, print_json, size_text
from mlsql_runtime.cli.parameters import FILE, KeyValue, as_dict, json_option
from mlsql_runtime.cli.progress import JobProgress
from mlsql_runtime.cli.run import check_master
from mlsql_runtime.errors import InputError, MLSQLError, to_json

if TYPE_CHECKING:
    from mlsql_runtime.plan import Preflight
    from mlsql_runtime.result import HostReport, PreflightResult

JAVA_SECONDS = 30


@dataclass(frozen=True)
class Found:
    """What this machine has, and what is wrong with that."""

    facts: dict[str, str | None]
    problems: tuple[str, ...]


@click.command(short_help="Look at this machine, and at every host of a cluster.")
@click.option(
    "--master", metavar="MASTER", default="local[*]", show_default=True, envvar="MLSQL_MASTER", help="Where Spark runs."
)
@click.option("--conf", type=KeyValue(), multiple=True, metavar="KEY=VALUE", help="A Spark property. May be repeated.")
@click.option("--script", type=FILE, metavar="PATH", help="A script or project: its imports are looked for.")
@click.option(
    "--runs",
    type=click.Choice(["train", "register", "predict"]),
    default="train",
    show_default=True,
    help="What the script is for.",
)
@click.option("--python", "python_path", metavar="PATH", help="The interpreter of scripts on the hosts.")
@click.option("--python-ver", "version", metavar="VERSION", help="The version that it must have, such as 3.11.")
@click.option("--requirements", type=FILE, metavar="FILE", help="Packages of which hosts build an environment.")
@click.option("--archive", "archives", multiple=True, metavar="PATH#NAME", help="A packed environment to bring along.")
@click.option("--env", "envs", type=KeyValue(), multiple=True, help="An environment variable of the script.")
@click.option("--model-path", metavar="PATH", help="A model path that all hosts have to see.")
@click.option("--path", "paths", multiple=True, metavar="PATH", help="Local data that all hosts have to see.")
@json_option
def doctor(master: str, conf: tuple[tuple[str, str], ...], runs: str, model_path: str | None, as_json: bool, **given: Any) -> int:
    """Say what keeps jobs from running: Java, Spark, the interpreter and its packages, scratch space, storage.

    This machine is looked at first; then, by a short Spark application, every
    host of the cluster. Nothing is trained, no data are read.

    \b
    Examples:
      mlsql doctor --script train.py
      mlsql doctor --master spark://host:7077 --script train.py \\
          --python /opt/py312/bin/python --model-path /mnt/models/spam
    """
    check_master(master)
    statement = _statement(runs=runs, model_path=model_path, **given)
    here = look_here()
    there, error = None, None
    if not here.problems:
        try:
            there = _look_there(statement, master, as_dict(conf, "--conf"))
        except MLSQLError as raised:
            error = raised
    if as_json:
        print_json(_document(here, there, error))
    else:
        _print(here, there, error, master)
    if error is not None:
        return WRONG_INPUT if isinstance(error, InputError) else UNAVAILABLE
    return WRONG_INPUT if here.problems or (there is not None and there.problems) else OK


def _statement(
    *,
    runs: str,
    model_path: str | None,
    script: str | None,
    python_path: str | None,
    version: str | None,
    requirements: str | None,
    archives: tuple[str, ...],
    envs: tuple[tuple[str, str], ...],
    paths: tuple[str, ...],
) -> Preflight:
    """The arguments, checked as a statement is."""
    from mlsql_runtime.plan import Preflight, PythonEnv
    from mlsql_runtime.store.requirements import read_requirements

    return Preflight(
        script_path=script,
        runs=runs,  # type: ignore[arg-type]
        model_path=model_path,
        paths=tuple(path if ":" in path else os.path.abspath(path) for path in paths),
        python=PythonEnv(
            path=python_path,
            version=version,
            envs=as_dict(envs, "--env"),
            requirements=None if requirements is None else read_requirements(requirements),
            archives=archives,
        ),
    )


def look_here() -> Found:
    """Java, spark-submit and the Python that starts jobs. No JVM of Spark is started."""
    from mlsql_runtime.submission.client_mode import submit_environment

    problems: list[str] = []
    java = _java(problems)
    spark_submit = shutil.which("spark-submit", path=submit_environment("doctor").get("PATH"))
    if spark_submit is None:
        problems.append("there is no spark-submit; pip install pyspark, or set SPARK_HOME")
    facts = {"host": socket.gethostname(), "python": f"{sys.version.split()[0]}, {sys.executable}", "java": java}
    return Found({**facts, "spark-submit": spark_submit}, tuple(problems))


def _java(problems: list[str]) -> str | None:
    """The version that Java says it has."""
    home = os.environ.get("JAVA_HOME")
    command = os.path.join(home, "bin/java") if home else "java"
    try:
        said = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=JAVA_SECONDS, check=False).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        where = "JAVA_HOME names none" if home else "there is none on PATH"
        problems.append(f"Spark needs Java 17 or newer, and {where} ({error}); install one, or correct JAVA_HOME")
        return None
    first = next((line for line in said.splitlines() if " version " in line), "")
    version = first.partition('"')[2].partition('"')[0]
    major = re.match(r"\d+", version)
    if major is None or int(major[0]) < 17:
        problems.append(f"Spark needs Java 17 or newer, and {command} is {version or 'no Java'}; install one, or set JAVA_HOME")
    return f"{version}, {shutil.which(command) or command}" if version else None


def _look_there(statement: Preflight, master: str, conf: dict[str, str]) -> PreflightResult:
    from mlsql_runtime.plan import Plan, Secrets
    from mlsql_runtime.result import PreflightResult
    from mlsql_runtime.submission.client_mode import Job
    from mlsql_runtime.submission.spark_submit import SparkSubmit

    plan = Plan(job_id=f"doctor/{secrets.token_hex(4)}", statements=(statement,))
    with interruptible(), JobProgress() as progress:
        [found] = Job(plan, Secrets(), master, conf).run(SparkSubmit(master, progress.line)).steps
    assert isinstance(found, PreflightResult)
    return found


def _document(here: Found, there: PreflightResult | None, error: MLSQLError | None) -> dict[str, Any]:
    is_well = not here.problems and error is None and there is not None and not there.problems
    return {
        "ok": is_well,
        "here": {"facts": here.facts, "problems": here.problems},
        "hosts": there.hosts if there else (),
        "silent": there.silent if there else (),
        "error": to_json(error) if error else None,
    }


def _print(here: Found, there: PreflightResult | None, error: MLSQLError | None, master: str) -> None:
    print_heading("this machine")
    print_fields(here.facts, indent=2)
    for report in there.hosts if there else ():
        print_heading(f"host {report.host}, executor {report.executor}" if report.executor != "driver" else f"Spark on {master}")
        print_fields(dict(_facts(report)), indent=2)
    for host in there.silent if there else ():
        click.echo(f"\nan executor on {host} did not answer")
    wrong = [*here.problems, *([error.message] if error else []), *([p.message for p in there.problems] if there else [])]
    click.echo()
    for text in wrong:
        click.echo(f"wrong: {text}")
    click.echo(f"{count_text(len(wrong), 'thing')} to mend" if wrong else "nothing is wrong")


def _facts(report: HostReport) -> Iterator[tuple[str, str | None]]:
    yield "interpreter", report.interpreter or "none"
    versions = dict(report.versions)
    yield "python", versions.pop("python", None)
    yield "packages", cell(", ".join(f"{name} {version}" for name, version in versions.items())) or None
    yield "scratch", f"{report.scratch}, {size_text(report.free)} free" if report.free is not None else report.scratch or None
    yield "problems", count_text(len(report.problems), "problem") if report.problems else "none"
