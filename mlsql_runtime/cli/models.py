"""``mlsql models``: look at the versions under a model path, verify them, remove old ones.

The store is imported by the commands that use it: the help of ``mlsql`` needs no fsspec.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from mlsql_runtime.cli.exit_codes import FAILED, OK, UNAVAILABLE
from mlsql_runtime.cli.model_path import Version, path_argument
from mlsql_runtime.cli.output import cell, count_text, print_fields, print_heading, print_json, print_table, size_text
from mlsql_runtime.cli.parameters import json_option
from mlsql_runtime.errors import StorageError, to_json

if TYPE_CHECKING:
    from mlsql_runtime.store.pruning import Pruning
    from mlsql_runtime.store.summary import Meaning, VersionDetails, VersionSummary
    from mlsql_runtime.store.verification import FileCheck, FunctionCheck, VersionCheck
    from mlsql_runtime.store.versions import Contents

_LIMIT = 20


class PathFirst(click.Group):
    """A group whose first word may be the path of its command ``list``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``list`` before what is no command."""
        return super().parse_args(ctx, ["list", *args] if args and self._is_for_list(ctx, args[0]) else args)

    def _is_for_list(self, ctx: click.Context, word: str) -> bool:
        if word in self.commands or word in ctx.help_option_names:
            return False
        is_typo = difflib.get_close_matches(word, self.commands) and word.isalpha() and not os.path.exists(word)
        return not is_typo

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Its commands; folders once the word is none of them."""
        found = super().shell_complete(ctx, incomplete)
        return found or [CompletionItem(incomplete, type="dir")]


@click.group(
    cls=PathFirst, subcommand_metavar="PATH | COMMAND [ARGS]...", short_help="Versions under a model path, and their scores."
)
def models() -> None:
    """Look at the versions under a model path, verify them, remove old ones.

    A model path is a folder or a URI such as s3://bucket/spam. With a path
    alone, its newest versions are listed.

    \b
    Example:
      mlsql models /models/spam
    """


@models.command("list", short_help="Versions with state, score and functions.")
@path_argument
@click.option(
    "--limit", type=click.IntRange(min=1), default=_LIMIT, show_default=True, metavar="N", help="Show so many, the newest."
)
@json_option
def list_versions(path: str, limit: int, as_json: bool) -> int:
    """List the newest versions: state, score of the best group, functions.

    A version that cannot be read is shown as unreadable, with the reason.

    \b
    Example:
      mlsql models /models/spam --limit 5
    """
    from mlsql_runtime.store.summary import summarize
    from mlsql_runtime.store.versions import look_into

    listing = summarize(look_into(path), limit)
    if as_json:
        print_json(listing)
    else:
        print_table(_COLUMNS, map(_row, listing.versions), right=("version", "groups", "score", "rows", "size"), cut=_COLUMNS[-1])
        if listing.more:
            click.echo(f"{count_text(listing.more, 'older version')} not shown; see --limit")
        for problem in listing.problems:
            click.echo(f"mlsql: {problem['message']}", err=True)
    unread = [summary.error for summary in listing.versions if summary.error] + list(listing.problems)
    return UNAVAILABLE if any(error["kind"] == "StorageError" for error in unread) else OK


_COLUMNS = ("version", "state", "published (UTC)", "groups", "score", "rows", "size", "functions")


def _row(summary: VersionSummary) -> tuple[Any, ...]:
    reason = summary.error["message"] if summary.error else summary.reason
    told = [reason] if reason else []
    groups = None if summary.groups is None else f"{summary.groups_succeeded}/{summary.groups}"
    return (
        summary.version,
        summary.state,
        summary.created,
        groups,
        summary.score,
        summary.rows,
        size_text(summary.size),
        "; ".join([*told, *meanings_text(summary.functions)]),
    )


def meanings_text(meanings: Sequence[Meaning]) -> list[str]:
    """``jack (current)`` for each function that means a version, ``jill (before)`` for those that did."""
    current = {meaning.function for meaning in meanings if meaning.current}
    before = {meaning.function for meaning in meanings} - current
    return [f"{name} (current)" for name in sorted(current)] + [f"{name} (before)" for name in sorted(before)]


@models.command(short_help="Everything about one version.")
@path_argument
@click.argument("version", type=Version(), required=False, metavar="[VERSION]")
@click.option("--log", "log", type=click.IntRange(min=0), metavar="GROUP", help="Print the kept log of a group instead.")
@json_option
def show(path: str, version: int | None, log: int | None, as_json: bool) -> None:
    """Show one version: script, data, parameters, groups, files, functions.

    Without VERSION, the newest complete one. Of a failed version: why, with
    the last lines that its groups printed.

    \b
    Example:
      mlsql models show /models/spam 7 --log 0
    """
    from mlsql_runtime.store.summary import read_details, read_log
    from mlsql_runtime.store.versions import look_into

    contents = look_into(path)
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


_DATED = {"complete": "published", "failed": "failed", "unfinished": "claimed", "unreadable": "published"}


def _print_details(details: VersionDetails) -> None:
    script, data, best = details.script, details.data, details.best
    print_fields(
        {
            "model path": details.model_path,
            "version": details.version,
            "state": details.state,
            f"{_DATED[details.state]} (UTC)": details.created,
            "job": details.job_id,
            "reason": details.message,
            "script": f"{script.name}, SHA-256 {script.sha256}" if script else None,
            "best": f"group {best.alg_index}, score {_score(best.score)}" if best else None,
            "scores": None if details.greater_is_better is None else f"{_higher(details.greater_is_better)} is better",
            "rows": f"{data.rows} for training, {data.validate_rows} held out" if data else None,
            "features": f"{data.feature_column}, vectors of {data.feature_width}" if data and data.feature_width else None,
            "functions": ", ".join(meanings_text(details.functions)) or "none",
        }
    )
    _print_mapping("columns", data.columns if data else {})
    _print_mapping("parameters", details.parameters)
    _print_mapping("environment", details.environment)
    _print_groups(details)
    if details.files:
        print_heading(f"{count_text(len(details.files), 'file')}, {size_text(details.size)}")
        print_table(("path", "size"), [(file.path, size_text(file.size)) for file in details.files], right=("size",), indent=2)


def _higher(greater_is_better: bool) -> str:
    return "higher" if greater_is_better else "lower"


def _score(score: float | None) -> str:
    return "none" if score is None else cell(score)


def _print_mapping(heading: str, values: Mapping[str, Any]) -> None:
    if values:
        print_heading(heading)
        print_fields(values, indent=2)


def _print_groups(details: VersionDetails) -> None:
    for fit in details.fits:
        print_heading(f"group {fit.alg_index}: {fit.status}, score {_score(fit.score)}, {fit.seconds:.1f} s")
        pairs = {"parameters": fit.params, "metrics": fit.metrics}
        shown = {name: ", ".join(f"{key}={_score_or_text(value)}" for key, value in each.items()) for name, each in pairs.items()}
        imported = ", ".join(f"{name} {version}" for name, version in fit.packages.items()) or None
        told = {name: text or None for name, text in shown.items()}
        print_fields({"message": fit.message, **told, "imported": imported}, indent=2)
        tail = details.tails.get(str(fit.alg_index), ())
        if tail:
            click.echo("  its last lines:")
            for line in tail:
                click.echo(f"    {cell(line)}")


def _score_or_text(value: Any) -> str:
    return "none" if value is None else cell(value)


@models.command(short_help="Compare files with their digests.")
@path_argument
@click.argument("version", type=Version(), required=False, metavar="[VERSION]")
@click.option("--all", "every", is_flag=True, help="Verify every complete version.")
@json_option
def verify(path: str, version: int | None, every: bool, as_json: bool) -> int:
    """Compare a version's files with the digests in its manifest.

    Function packages that answer for the version are verified too. Without
    VERSION, the newest complete one. Exit code 1 when anything differs.

    \b
    Example:
      mlsql models verify /models/spam --all
    """
    from mlsql_runtime.store.summary import read_pointers
    from mlsql_runtime.store.verification import check_orphans, check_version
    from mlsql_runtime.store.versions import look_into

    if every and version is not None:
        raise click.UsageError("give a VERSION or --all, not both")
    contents = look_into(path)
    pointers = read_pointers(contents.root)
    numbers = (_complete(contents) if every else []) or [_one_version(contents, version)]
    checked = []
    for number in numbers:
        checked.append(check_version(contents.root, number, pointers))
        if not as_json:
            _print_check(contents.root.uri, checked[-1])
    orphans = check_orphans(contents.root, numbers, pointers) if every else ()
    wrong = [check for version_check in checked for check in version_check.checks if check.problem]
    wrong += [check for function in orphans for check in function.files]
    if as_json:
        document = {
            "model_path": contents.root.uri,
            "ok": not wrong and not pointers.problems,
            "versions": checked,
            "orphans": orphans,
            "problems": [to_json(problem) for problem in pointers.problems],
        }
        print_json(document)
    else:
        for orphan in orphans:
            click.echo(f"wrong: {orphan.files[0].message}")
        for problem in pointers.problems:
            click.echo(f"wrong: {problem.message}")
        _print_verdict(contents.root.uri, checked, len(wrong) + len(pointers.problems))
    unread = [check.problem == "unreadable" for check in wrong]
    unread += [isinstance(problem, StorageError) for problem in pointers.problems]
    return OK if not unread else UNAVAILABLE if all(unread) else FAILED


def _one_version(contents: Contents, version: int | None) -> int:
    """The version asked for; of those that are complete.

    :raises VersionNotFound: when there is none; a damaged manifest is left to the check.
    """
    from mlsql_runtime.store.versions import read_manifest, version_state

    if version is not None and version in contents.versions and version_state(contents.root, version) == "complete":
        return version
    newest = next(iter(_complete(contents, 1)), None) if version is None else None
    return newest or read_manifest(contents.root, version).version


def _complete(contents: Contents, limit: int | None = None) -> list[int]:
    """The newest complete versions; all of them without a limit."""
    from mlsql_runtime.store.versions import version_state

    found: list[int] = []
    for number in contents.versions:
        if limit is not None and len(found) == limit:
            break
        if version_state(contents.root, number) == "complete":
            found.append(number)
    return found


def _print_check(model_path: str, check: VersionCheck) -> None:
    click.echo(f"version {check.version}")
    for file in check.files:
        _print_file(file)
    for function in check.functions:
        _print_function(model_path, function)


def _print_file(file: FileCheck) -> None:
    size = "" if file.size is None else f" ({size_text(file.size)})"
    click.echo(f"  {file.problem or 'ok':<10}  {cell(file.path)}{size}")
    if file.message:
        click.echo(f"{'':14}{cell(file.message)}")


def _print_function(model_path: str, function: FunctionCheck) -> None:
    state = "current" if function.current else "before"
    click.echo(f"  function {function.function}, version {function.function_version} ({state})")
    for file in function.files:
        _print_file(file)
    if function.model_path not in (None, model_path):
        click.echo(f"  note        it was registered for {function.model_path}, and reads its model there, not here")


def _print_verdict(model_path: str, checked: Sequence[VersionCheck], wrong: int) -> None:
    count = sum(1 for check in checked for _ in check.checks)
    what = f"{count_text(count, 'file')} of {count_text(len(checked), 'version')} of {model_path}"
    if wrong:
        click.echo(f"{count_text(wrong, 'thing')} wrong; verified {what}; restore them, or train and register again")
    else:
        click.echo(f"all is as it was written: {what}")


@models.command(short_help="Remove old versions.")
@path_argument
@click.option("--keep", type=click.IntRange(min=1), required=True, metavar="N", help="Keep the newest N complete versions.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
@json_option
def prune(path: str, keep: int, dry_run: bool, as_json: bool) -> None:
    """Remove complete versions beyond the newest N, and what dead jobs left.

    Versions that a function points to stay, and so do records of failed ones.
    What a dead job left goes when nothing has changed there for seven days.

    \b
    Example:
      mlsql models prune /models/spam --keep 5 --dry-run
    """
    from mlsql_runtime.store.pruning import choose_pruning, remove_pruned
    from mlsql_runtime.store.versions import look_into

    root = look_into(path).root
    pruning = choose_pruning(root, keep)
    removed = list(pruning.versions) if dry_run else remove_pruned(root, pruning)
    if as_json:
        document = {
            "model_path": root.uri,
            "keep": keep,
            "dry_run": dry_run,
            "removed": removed,
            "pinned": [{"version": number, "functions": names} for number, names in pruning.pinned.items()],
            "abandoned": [folder.uri for folder in pruning.abandoned],
        }
        print_json(document)
    else:
        _print_pruning(pruning, removed, dry_run)


def _print_pruning(pruning: Pruning, removed: Sequence[int], dry_run: bool) -> None:
    verb = "would remove" if dry_run else "removed"
    numbers = ", ".join(map(str, removed))
    click.echo(f"{verb} {count_text(len(removed), 'version')}: {numbers}" if removed else f"{verb} no version")
    for number in pruning.versions:
        if number not in removed:
            click.echo(f"kept version {number}: a function was pointed to it meanwhile")
    for number, names in pruning.pinned.items():
        points = "point" if len(names) > 1 else "points"
        click.echo(f"{'would keep' if dry_run else 'kept'} version {number}: {', '.join(names)} {points} to it")
    for folder in pruning.abandoned:
        click.echo(f"{verb} {folder.uri}, left by a dead job")
