"""``mlsql models show``, ``mlsql models diff``: one version, and what differs between two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from mlsql_runtime.cli.options import json_option, path_argument, version_argument
from mlsql_runtime.cli.output import format_count, format_size, format_value, print_fields, print_heading, print_json, print_table

if TYPE_CHECKING:
    from mlsql_runtime.store.compare_versions import ComparedVersion, Comparison, Difference
    from mlsql_runtime.store.curves import Curve
    from mlsql_runtime.store.functions import FunctionPackage
    from mlsql_runtime.store.summary import VersionDetails


@click.command(short_help="Details of one version.")
@path_argument
@version_argument("version", required=False, metavar="[VERSION]")
@click.option("--log", "log", type=click.IntRange(min=0), metavar="GROUP", help="Print the kept log of a group instead.")
@json_option
def show(path: str, version: int | None, log: int | None, as_json: bool) -> None:
    """Show one version: script, data and their sources, parameters, groups,
    files, functions.

    Without VERSION, the newest complete one. For a failed version: the reason,
    and the last lines that its groups printed.

    \b
    Example:
      mlsql models show /models/spam 7 --log 0
    """
    from mlsql_runtime.store.summary import read_details, read_log
    from mlsql_runtime.store.versions import open_store

    contents = open_store(path)
    if log is not None:
        number = version or read_details(contents).version
        text = read_log(contents, number, log)
        if as_json:
            print_json({"model_path": contents.root.uri, "version": number, "alg_index": log, "log": text})
        else:
            click.echo(text, nl=not text.endswith("\n"))
        return
    details = read_details(contents, version)
    if as_json:
        print_json(details)
    else:
        _print_details(details)


_LONG = ("sql", "features", "classes")  # of which the part is shown in which they begin to differ
_CONTEXT = 30  # characters before and after that place
_DATE_LABELS = {"complete": "published", "failed": "failed", "unfinished": "claimed", "unreadable": "published"}


def _print_details(details: VersionDetails) -> None:
    script, data, best, higher = details.script, details.data, details.best, details.greater_is_better
    print_fields(
        {
            "model path": details.model_path,
            "version": details.version,
            "state": details.state,
            f"{_DATE_LABELS[details.state]} (UTC)": details.created,
            "job": details.job_id,
            "reason": details.message,
            "description": details.description,
            "imported": details.imported.description if details.imported else None,
            "script": f"{script.name}, SHA-256 {script.sha256}" if script else None,
            "best": f"group {best.alg_index}, score {format_value(best.score, 'none')}" if best else None,
            "scores": None if higher is None else f"{'higher' if higher else 'lower'} is better",
            "rows": f"{data.rows} for training, {data.validate_rows} held out" if data and not details.imported else None,
            "features": f"{data.feature_column}, vectors of {data.feature_width}" if data and data.feature_width else None,
            "functions": ", ".join(describe_functions(details.functions)) or "none",
        }
    )
    for source in details.sources:
        print_heading(f"source {source.table}: {source.kind}")
        facts = source.facts if source.files is None else {**source.facts, "bytes": format_size(source.files.size)}
        print_fields(facts, indent=2)
    for heading, values in (
        ("signature", details.signature.facts if details.signature else {}),
        ("columns", data.columns if data else {}),
        ("parameters", details.parameters),
        ("environment", details.environment),
    ):
        if values:
            print_heading(heading)
            print_fields(values, indent=2)
    _print_groups(details)
    if details.files:
        print_heading(f"{format_count(len(details.files), 'file')}, {format_size(details.size)}")
        print_table(("path", "size"), [(file.path, format_size(file.size)) for file in details.files], right=("size",), indent=2)


def _print_groups(details: VersionDetails) -> None:
    for fit in details.fits:
        print_heading(f"group {fit.alg_index}: {fit.status}, score {format_value(fit.score, 'none')}, {fit.seconds:.1f} s")
        fields = {
            "message": fit.message,
            "parameters": _join_pairs(fit.params, "="),
            "metrics": _join_pairs(fit.metrics, "="),
            **{f"curve {name}": _describe_curve(curve) for name, curve in details.curves.get(fit.alg_index, {}).items()},
            "imported": _join_pairs(fit.packages, " "),
        }
        print_fields(fields, indent=2)
        tail = details.tails.get(str(fit.alg_index), ())
        if tail:
            click.echo("  its last lines:")
            for line in tail:
                click.echo(f"    {format_value(line)}")


def _describe_curve(curve: Curve) -> str:
    """Return the first and the last value of a metric, and the lowest and the highest."""
    ends = " to ".join(format_value(value, "none") for value in (curve.values[0], curve.values[-1]))
    extremes = f", lowest {format_value(min(curve.finite))}, highest {format_value(max(curve.finite))}" if curve.finite else ""
    return f"{ends} in {format_count(curve.reports, 'report')}{extremes}"


def _join_pairs(values: Mapping[str, Any], equals: str) -> str | None:
    return ", ".join(f"{name}{equals}{format_value(value, 'none')}" for name, value in values.items()) or None


def describe_functions(pointers: Sequence[FunctionPackage]) -> list[str]:
    """Return ``jack (current)`` for each function that points to a version, ``jill (before)`` for each that pointed to it."""
    current = {pointer.function for pointer in pointers if pointer.current}
    before = {pointer.function for pointer in pointers} - current
    return [f"{name} (current)" for name in sorted(current)] + [f"{name} (before)" for name in sorted(before)]


@click.command(short_help="Differences between two versions.")
@path_argument
@version_argument("before", metavar="VERSION")
@version_argument("after", metavar="VERSION")
@json_option
def diff(path: str, before: int, after: int, as_json: bool) -> None:
    """Compare two versions: scores, script, parameters, data and their
    sources, groups, and the packages that their scripts imported.

    \b
    Example:
      mlsql models diff /models/spam 4 5
    """
    from mlsql_runtime.store.compare_versions import compare_versions
    from mlsql_runtime.store.versions import open_store

    comparison = compare_versions(open_store(path).root, before, after)
    if as_json:
        print_json(comparison)
    else:
        _print_comparison(comparison)


def _print_comparison(comparison: Comparison) -> None:
    versions = (comparison.before, comparison.after)
    print_fields(
        {"model path": comparison.model_path, **{f"version {each.version}": _describe_version(each) for each in versions}}
    )
    click.echo()
    if comparison.differences:
        columns = ("about", "what", *(f"version {each.version}" for each in versions))
        print_table(columns, map(_to_row, comparison.differences), long="what")
        if comparison.changed_sources:
            click.echo(f"\nthe stored data of {', '.join(comparison.changed_sources)} have changed between the two trainings")
    else:
        click.echo("nothing else differs: scores, script, parameters, data, groups and packages are the same")


def _describe_version(version: ComparedVersion) -> str:
    best = f"best is group {version.best.alg_index} with score {format_value(version.best.score, 'none')}"
    return f"published {format_value(version.created)} (UTC) by {version.job_id}, {best}"


def _to_row(difference: Difference) -> tuple[str, str, str, str]:
    before, after = (format_value(value, "none") for value in (difference.before, difference.after))
    if difference.name.startswith("SHA-256"):
        before, after = (f"{text[:12]}…" if len(text) == 64 else text for text in (before, after))
    elif difference.name in _LONG:
        before, after = _cut_around_difference(before, after)
    return difference.about, difference.name, before, after


def _cut_around_difference(before: str, after: str) -> tuple[str, str]:
    """Return the parts of two texts in which they begin to differ."""
    place = 0
    while before[place : place + 1] == after[place : place + 1] != "":
        place += 1
    return _cut(before, place), _cut(after, place)


def _cut(text: str, place: int) -> str:
    start, end = max(place - _CONTEXT, 0), place + _CONTEXT
    return f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}"
