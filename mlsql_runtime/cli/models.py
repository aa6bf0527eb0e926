"""``mlsql models``: list the versions under a model path, and remove old ones.

Commands import the store themselves: the help of ``mlsql`` needs no fsspec.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from mlsql_runtime.cli.options import json_option, path_argument
from mlsql_runtime.cli.output import format_count, format_size, print_json, print_table
from mlsql_runtime.cli.process import OK, UNAVAILABLE
from mlsql_runtime.cli.version_details import describe_functions

if TYPE_CHECKING:
    from mlsql_runtime.store.pruning import Pruning
    from mlsql_runtime.store.summary import VersionSummary


class PathFirst(click.Group):
    """A group whose first word may be the path for its command ``list``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert ``list`` before a word that is not a command."""
        return super().parse_args(ctx, ["list", *args] if args and self._is_for_list(ctx, args[0]) else args)

    def _is_for_list(self, ctx: click.Context, word: str) -> bool:
        if word in self.commands or word in ctx.help_option_names:
            return False
        is_typo = difflib.get_close_matches(word, self.commands) and word.isalpha() and not os.path.exists(word)
        return not is_typo

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands, and folders for a word that begins none of them."""
        return super().shell_complete(ctx, incomplete) or [CompletionItem(incomplete, type="dir")]


@click.group(
    cls=PathFirst, subcommand_metavar="PATH | COMMAND [ARGS]...", short_help="Versions under a model path, and their scores."
)
def models() -> None:
    """List, compare and verify the versions under a model path; remove old ones.

    A model path is a folder or a URI such as s3://bucket/spam. With a path
    alone, its newest versions are listed.

    \b
    Example:
      mlsql models /models/spam
    """


@models.command("list", short_help="Versions with state, score and functions.")
@path_argument
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="N",
    help="Show this many versions, newest first.",
)
@json_option
def list_versions(path: str, limit: int, as_json: bool) -> int:
    """List the newest versions: state, score of the best group, functions.

    A version that cannot be read is listed as unreadable, with the reason.

    \b
    Example:
      mlsql models /models/spam --limit 5
    """
    from mlsql_runtime.store.summary import summarize
    from mlsql_runtime.store.versions import open_store

    listing = summarize(open_store(path), limit)
    if as_json:
        print_json(listing)
    else:
        columns = ("version", "state", "published (UTC)", "groups", "score", "rows", "size", "functions")
        right = ("version", "groups", "score", "rows", "size")
        print_table(columns, map(_to_row, listing.versions), right=right, long="functions")
        if listing.more:
            click.echo(f"{format_count(listing.more, 'older version')} not shown; see --limit")
        for problem in listing.problems:
            click.echo(f"mlsql: {problem['message']}", err=True)
    errors = [summary.error for summary in listing.versions if summary.error] + list(listing.problems)
    return UNAVAILABLE if any(error["kind"] == "StorageError" for error in errors) else OK


def _to_row(summary: VersionSummary) -> tuple[Any, ...]:
    reason = summary.error["message"] if summary.error else summary.reason
    return (
        summary.version,
        summary.state,
        summary.created,
        None if summary.groups is None else f"{summary.groups_succeeded}/{summary.groups}",
        summary.score,
        summary.rows,
        format_size(summary.size),
        "; ".join([*([reason] if reason else []), *describe_functions(summary.functions)]),
    )


@models.command(short_help="Remove old versions.")
@path_argument
@click.option("--keep", type=click.IntRange(min=1), required=True, metavar="N", help="Keep the newest N complete versions.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed; remove nothing.")
@json_option
def prune(path: str, keep: int, dry_run: bool, as_json: bool) -> None:
    """Remove all complete versions but the newest N, and files of dead jobs.

    Versions that a function points to stay, and so do records of failed
    trainings. Files of a dead job are removed after seven days without a
    change.

    \b
    Example:
      mlsql models prune /models/spam --keep 5 --dry-run
    """
    from mlsql_runtime.store.pruning import choose_pruning, remove_pruned
    from mlsql_runtime.store.versions import open_store

    root = open_store(path).root
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
    click.echo(f"{verb} {format_count(len(removed), 'version')}: {numbers}" if removed else f"{verb} no version")
    for number in pruning.versions:
        if number not in removed:
            click.echo(f"kept version {number}: a function was pointed to it meanwhile")
    for number, names in pruning.pinned.items():
        points = "point" if len(names) > 1 else "points"
        click.echo(f"{'would keep' if dry_run else 'kept'} version {number}: {', '.join(names)} {points} to it")
    for folder in pruning.abandoned:
        click.echo(f"{verb} {folder.uri}, left by a dead job")
