"""``mlsql check``: all that is wrong with scripts, without running them."""

from __future__ import annotations

from typing import Any

import click

from mlsql_runtime.cli.exit_codes import OK, UNAVAILABLE, WRONG_INPUT
from mlsql_runtime.cli.output import print_json
from mlsql_runtime.cli.parameters import FILE, json_option
from mlsql_runtime.cli.scripts import given, read_script, variable_options
from mlsql_runtime.errors import InputError, MLSQLError

_UNAVAILABLE = {"StorageError", "KafkaUnavailable"}


@click.command(short_help="Report all errors of scripts, without running them.")
@click.argument("scripts", type=FILE, nargs=-1, required=True, metavar="SCRIPT...")
@variable_options
@click.option("--inputs", is_flag=True, help="Also look for the data, scripts, models and topics that they name.")
@json_option
@click.pass_context
def check(
    context: click.Context,
    scripts: tuple[str, ...],
    variables: tuple[tuple[str, str], ...],
    variable_file: str | None,
    functions: tuple[tuple[str, str], ...],
    inputs: bool,
    as_json: bool,
) -> None:
    """Report all errors of MLSQL scripts, each with file, line and column, and a caret below the place. Nothing is run.

    \b
    Example:
      mlsql check train.mlsql predict.mlsql --var day=2024-05-01
    """
    outside = given(variables, variable_file, functions)
    reports = [_report(path, outside, inputs) for path in scripts]
    if as_json:
        print_json(reports)
    else:
        for report in reports:
            _print(report)
    kinds = {error["kind"] for report in reports for error in report["errors"]}
    context.exit(UNAVAILABLE if kinds and kinds <= _UNAVAILABLE else WRONG_INPUT if kinds else OK)


def _report(path: str, outside: dict[str, Any], inputs: bool) -> dict[str, Any]:
    """``{"script", "statements", "errors": [{"kind", "file", "line", "column", "message"}], "warnings": […]}``."""
    from mlsql_runtime.language import check_script, compile_script

    statements, warnings = 0, list[str]()
    found: list[MLSQLError]
    try:
        script = read_script(path)
    except InputError as error:
        found = [error]
    else:
        arguments = {"name": script.name, "folder": script.folder, **outside}
        found = list(check_script(script.text, **arguments))
        if not found:
            compiled = compile_script(script.text, **arguments)
            statements, warnings = len(compiled.statements), list(compiled.warnings)
            found = _missing(compiled) if inputs else []
    return {"script": path, "statements": statements, "errors": [_document(error) for error in found], "warnings": warnings}


def _document(error: MLSQLError) -> dict[str, Any]:
    place = {key: error.facts.get(key) for key in ("file", "line", "column")}
    return {"kind": type(error).__name__, **place, "message": error.message}


def _missing(compiled: Any) -> list[MLSQLError]:
    from mlsql_runtime.plan import Plan
    from mlsql_runtime.submission.precheck import problems

    plan = Plan(job_id="mlsql check", statements=compiled.statements)
    return [compiled.locate(error) for error in problems(plan, True, compiled.secrets)]


def _print(report: dict[str, Any]) -> None:
    for warning in report["warnings"]:
        click.echo(f"{warning} (warning)", err=True)
    for error in report["errors"]:
        click.echo(error["message"])
    if report["errors"]:
        count = len(report["errors"])
        click.echo(f"{report['script']}: {count} error{'s' if count > 1 else ''}")
    else:
        count = report["statements"]
        click.echo(f"{report['script']}: no errors, {count} statement{'' if count == 1 else 's'}")
