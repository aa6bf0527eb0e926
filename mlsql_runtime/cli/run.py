"""``mlsql run``: run a script on Spark."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import time
from datetime import datetime, timezone
from typing import Any

import click

from mlsql_runtime.cli.job import run_job
from mlsql_runtime.cli.options import FILE, conf_option, json_file_option, json_option, master_option
from mlsql_runtime.cli.output import format_value, print_json, print_table
from mlsql_runtime.cli.process import current_user
from mlsql_runtime.cli.scripts import read_script, script_options
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.plan import Plan, format_option, with_author

_COLUMN_WIDTH = 10  # characters of a terminal for each column


@click.command(short_help="Run a script on Spark.")
@click.argument("script", type=FILE)
@script_options
@master_option
@conf_option
@json_file_option(
    "--conf-file",
    "conf_values",
    help="Spark properties in a JSON object, such as secret keys. --conf takes precedence, and the script's own over both.",
)
@click.option("--rows", type=click.IntRange(0, 1000), default=20, show_default=True, help="Rows of the last table to show.")
@json_option
def run(
    script: str,
    arguments: dict[str, Any],
    master: str,
    conf: dict[str, str],
    conf_values: dict[str, Any],
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
    from mlsql_runtime.result import script_to_xcom

    source = read_script(script)
    properties = {**{name: format_option(value) for name, value in conf_values.items()}, **conf}
    compiled = compile_script(source.text, name=source.name, folder=source.folder, **arguments)
    for warning in compiled.warnings:
        click.echo(f"{warning} (warning)", err=True)
    plan = Plan(job_id=_make_job_id(source.name), statements=with_author(compiled.with_preview(rows), current_user()))
    started = time.monotonic()
    try:
        result = run_job(plan, compiled.secrets, master, {**properties, **compiled.conf})
    except MLSQLError as error:
        raise compiled.locate(error) from error
    click.echo(f"done in {time.monotonic() - started:.0f} s", err=True)
    document = script_to_xcom(result)
    if as_json:
        print_json(document)
    elif document["table"] is not None:
        _print_table(document["table"])


def _make_job_id(name: str) -> str:
    """Return an id that no other run has."""
    return f"{name}/{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}-{secrets.token_hex(2)}"


def _print_table(table: dict[str, Any]) -> None:
    """Print the table; on a terminal, as many columns as are readable."""
    columns, rows = table["columns"], table["rows"]
    shown = len(columns)
    if sys.stdout.isatty():
        shown = min(shown, max(1, shutil.get_terminal_size().columns // _COLUMN_WIDTH))
    names = [format_value(name) for name in columns[:shown]]
    numbers = [name for at, name in enumerate(names) if all(isinstance(row[at], (int, float)) for row in rows)]
    print_table(names, ([_format_cell(value) for value in row[:shown]] for row in rows), numbers)
    more = [f"{len(columns) - shown} more columns"] if len(columns) > shown else []
    more += ["more rows"] if table["more"] else []
    if more:
        click.echo(f"… and {' and '.join(more)} in table {table['table']}", err=True)


def _format_cell(value: Any) -> str:
    if value is None:
        return "null"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)  # numbers with all digits
