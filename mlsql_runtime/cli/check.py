"""``mlsql check``: report the errors of scripts without running them."""

from __future__ import annotations

from typing import Any

import click

from mlsql_runtime.cli.options import FILE, json_option
from mlsql_runtime.cli.output import format_count, print_json
from mlsql_runtime.cli.process import OK, UNAVAILABLE, WRONG_INPUT
from mlsql_runtime.cli.scripts import read_script, script_options
from mlsql_runtime.errors import InputError, MLSQLError

_UNAVAILABLE = {"StorageError", "KafkaUnavailable"}


@click.command(short_help="Report all errors of scripts, without running them.")
@click.argument("scripts", type=FILE, nargs=-1, required=True, metavar="SCRIPT...")
@script_options
@click.option("--inputs", is_flag=True, help="Also check that the data, scripts, models and topics in them exist.")
@json_option
@click.pass_context
def check(context: click.Context, scripts: tuple[str, ...], arguments: dict[str, Any], inputs: bool, as_json: bool) -> None:
    """Report all errors of MLSQL scripts, each with file, line and column, and a caret below the place. Nothing is run.

    \b
    Example:
      mlsql check train.mlsql predict.mlsql --var day=2024-05-01
    """
    reports = [_check_script(path, arguments, inputs) for path in scripts]
    if as_json:
        print_json(reports)
    else:
        for report in reports:
            _print_report(report)
    kinds = {error["kind"] for report in reports for error in report["errors"]}
    context.exit(UNAVAILABLE if kinds and kinds <= _UNAVAILABLE else WRONG_INPUT if kinds else OK)


def _check_script(path: str, options: dict[str, Any], inputs: bool) -> dict[str, Any]:
    """Return ``{"script", "statements", "errors": [{"kind", "file", "line", "column", "message"}], "warnings": […]}``."""
    from mlsql_runtime.language import check_script, compile_script

    statements, warnings = 0, list[str]()
    errors: list[MLSQLError]
    try:
        script = read_script(path)
    except InputError as error:
        errors = [error]
    else:
        arguments = {"name": script.name, "folder": script.folder, **options}
        errors = list(check_script(script.text, **arguments))
        if not errors:
            compiled = compile_script(script.text, **arguments)
            statements, warnings = len(compiled.statements), list(compiled.warnings)
            errors = _check_inputs(compiled) if inputs else []
    return {"script": path, "statements": statements, "errors": [_to_document(error) for error in errors], "warnings": warnings}


def _to_document(error: MLSQLError) -> dict[str, Any]:
    place = {name: getattr(error.origin, name, None) for name in ("file", "line", "column")}
    return {"kind": type(error).__name__, **place, "message": error.message}


def _check_inputs(compiled: Any) -> list[MLSQLError]:
    from mlsql_runtime.plan import Plan
    from mlsql_runtime.submission.precheck import find_problems

    plan = Plan(job_id="mlsql check", statements=compiled.statements)
    return [compiled.locate(error) for error in find_problems(plan, compiled.secrets, is_local=True)]


def _print_report(report: dict[str, Any]) -> None:
    for warning in report["warnings"]:
        click.echo(f"{warning} (warning)", err=True)
    for error in report["errors"]:
        click.echo(error["message"])
    if report["errors"]:
        click.echo(f"{report['script']}: {format_count(len(report['errors']), 'error')}")
    else:
        click.echo(f"{report['script']}: no errors, {format_count(report['statements'], 'statement')}")
