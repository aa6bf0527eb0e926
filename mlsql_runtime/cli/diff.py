"""``mlsql models diff``: what differs between two versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mlsql_runtime.cli.model_path import Version, path_argument
from mlsql_runtime.cli.output import cell, print_fields, print_json, print_table
from mlsql_runtime.cli.parameters import json_option

if TYPE_CHECKING:
    from mlsql_runtime.store.compare_versions import Compared, Comparison, Difference, Value

_DIGEST = 64  # hexadecimal digits, of which people compare the first
_SHOWN_OF_DIGEST = 12


@click.command(short_help="What differs between two versions.")
@path_argument
@click.argument("before", type=Version(), metavar="VERSION")
@click.argument("after", type=Version(), metavar="VERSION")
@json_option
def diff(path: str, before: int, after: int, as_json: bool) -> None:
    """Compare two versions: scores, script, parameters, data, groups, and
    the packages that their scripts imported.

    \b
    Example:
      mlsql models diff /models/spam 4 5
    """
    from mlsql_runtime.store.compare_versions import compare
    from mlsql_runtime.store.versions import look_into

    comparison = compare(look_into(path).root, before, after)
    if as_json:
        print_json(comparison)
    else:
        _print(comparison)


def _print(comparison: Comparison) -> None:
    versions = (comparison.before, comparison.after)
    print_fields({"model path": comparison.model_path, **{f"version {each.version}": _told(each) for each in versions}})
    click.echo()
    if comparison.differences:
        columns = ("about", "what", *(f"version {each.version}" for each in versions))
        print_table(columns, map(_row, comparison.differences), cut="what")
    else:
        click.echo("nothing else differs: scores, script, parameters, data, groups and packages are the same")


def _told(version: Compared) -> str:
    score = "none" if version.best.score is None else cell(version.best.score)
    return (
        f"published {cell(version.created)} (UTC) by {version.job_id}, best is group {version.best.alg_index} with score {score}"
    )


def _row(difference: Difference) -> tuple[str, str, str, str]:
    return (
        difference.about,
        difference.name,
        _shown(difference.name, difference.before),
        _shown(difference.name, difference.after),
    )


def _shown(name: str, value: Value) -> str:
    if value is None:
        return "none"
    text = cell(value)
    return f"{text[:_SHOWN_OF_DIGEST]}…" if name == "SHA-256" and len(text) == _DIGEST else text
