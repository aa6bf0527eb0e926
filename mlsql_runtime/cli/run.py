"""``mlsql run``: a script on Spark."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from mlsql_runtime.cli.interruption import interruptible
from mlsql_runtime.cli.output import cell, print_json, print_table
from mlsql_runtime.cli.parameters import FILE, KeyValue, as_dict, json_option
from mlsql_runtime.cli.progress import JobProgress
from mlsql_runtime.cli.scripts import Script, given, read_script, read_values, variable_options
from mlsql_runtime.cli.who import who
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.plan import format_option

if TYPE_CHECKING:
    from mlsql_runtime.language import CompiledScript
    from mlsql_runtime.result import RunResult

_MASTER = re.compile(r"local(-cluster)?(\[.+\])?|(spark|k8s)://.+|yarn")
_COLUMN = 10  # characters that a column has at least on a terminal


@click.command(short_help="Run a script on Spark.")
@click.argument("script", type=FILE)
@variable_options
@click.option(
    "--master", metavar="MASTER", default="local[*]", show_default=True, envvar="MLSQL_MASTER", help="Where Spark runs."
)
@click.option(
    "--conf",
    type=KeyValue(),
    multiple=True,
    metavar="KEY=VALUE",
    help="A Spark property. May be repeated; the script's come over it.",
)
@click.option("--conf-file", type=FILE, metavar="FILE", help="Spark properties in a JSON object, such as secret keys.")
@click.option("--rows", type=click.IntRange(0, 1000), default=20, show_default=True, help="Rows of the last table to show.")
@json_option
def run(
    script: str,
    variables: tuple[tuple[str, str], ...],
    variable_file: str | None,
    functions: tuple[tuple[str, str], ...],
    master: str,
    conf: tuple[tuple[str, str], ...],
    conf_file: str | None,
    rows: int,
    as_json: bool,
) -> None:
    """Run an MLSQL script as one Spark application, and show the first rows of the last table that it makes.

    The job's log goes to standard error, the table to standard output. SCRIPT is a file, or - for standard input.

    \b
    Examples:
      mlsql run train.mlsql --var day=2024-05-01
      mlsql run train.mlsql --master spark://host:7077 \\
          --conf spark.executor.memory=4g
    """
    from mlsql_runtime.language import compile_script
    from mlsql_runtime.result import script_xcom

    source = read_script(script)
    check_master(master)
    file = {name: format_option(value) for name, value in read_values(conf_file, "--conf-file").items()}
    properties = {**file, **as_dict(conf, "--conf")}
    compiled = compile_script(source.text, name=source.name, folder=source.folder, **given(variables, variable_file, functions))
    for warning in compiled.warnings:
        click.echo(f"{warning} (warning)", err=True)
    begun = time.monotonic()
    result = _run(source, compiled, rows, master, properties | dict(compiled.conf))
    click.echo(f"done in {time.monotonic() - begun:.0f} s", err=True)
    document = script_xcom(result)
    if as_json:
        print_json(document)
    elif document["table"] is not None:
        _print_table(document["table"])


def check_master(master: str) -> None:
    """That it is one.

    :raises click.BadParameter: otherwise.
    """
    if not _MASTER.fullmatch(master):
        raise click.BadParameter(f"{master!r}; expected local[*], spark://host:7077, yarn or k8s://…", param_hint="--master")


def _run(source: Script, compiled: CompiledScript, rows: int, master: str, conf: dict[str, str]) -> RunResult:
    from mlsql_runtime.plan import Plan, with_author
    from mlsql_runtime.submission.client_mode import Job
    from mlsql_runtime.submission.spark_submit import SparkSubmit

    plan = Plan(job_id=_job_id(source), statements=with_author(compiled.with_preview(rows), who()))
    with interruptible(), JobProgress() as progress:
        try:
            return Job(plan, compiled.secrets, master, conf).run(SparkSubmit(master, progress.line))
        except MLSQLError as error:
            raise compiled.locate(error) from error


def _job_id(source: Script) -> str:
    """Each run is a job of its own."""
    return f"{source.name}/{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}-{secrets.token_hex(2)}"


def _print_table(table: dict[str, Any]) -> None:
    """On a terminal as many columns as can be read."""
    columns = table["columns"]
    count = max(1, shutil.get_terminal_size().columns // _COLUMN) if sys.stdout.isatty() else len(columns)
    numbers = [
        cell(name)
        for position, name in enumerate(columns)
        if all(isinstance(row[position], (int, float)) for row in table["rows"])
    ]
    print_table(
        [cell(name) for name in columns[:count]], ([_cell(value) for value in row[:count]] for row in table["rows"]), numbers
    )
    left = [f"{len(columns) - count} more columns"] if len(columns) > count else []
    left += ["more rows"] if table["more"] else []
    if left:
        click.echo(f"… and {' and '.join(left)} in table {table['table']}", err=True)


def _cell(value: Any) -> Any:
    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)  # numbers in full
