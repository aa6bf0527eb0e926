"""``mlsql functions``, ``mlsql rollback``: list registered functions, and point one back to an earlier package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mlsql_runtime.cli.options import function_argument, json_option, path_argument
from mlsql_runtime.cli.output import format_value, print_json, print_table
from mlsql_runtime.cli.process import OK, UNAVAILABLE, current_user

if TYPE_CHECKING:
    from mlsql_runtime.store.function_history import FunctionSummary, History, HistoryEntry
    from mlsql_runtime.store.function_records import FunctionRecord, PointerMove


_NUMBERS = ("function version", "model version", "group", "score")


@click.command(short_help="Functions registered under a model path.")
@path_argument
@function_argument("name", required=False, metavar="[NAME]")
@json_option
def functions(path: str, name: str | None, as_json: bool) -> int:
    """List the functions registered under a model path.

    With NAME, print the history of that function: registrations, refusals and
    rollbacks, with time, user and reason.

    \b
    Example:
      mlsql functions /models/spam jack
    """
    from mlsql_runtime.store.function_history import read_history, summarize_functions
    from mlsql_runtime.store.functions import list_refused_functions
    from mlsql_runtime.store.versions import open_store

    root = open_store(path).root
    if name is not None:
        history = read_history(root, name)
        print_json(history) if as_json else _print_history(history)
        return OK
    found, refused = summarize_functions(root), list_refused_functions(root)
    if as_json:
        print_json({"model_path": root.uri, "functions": found, "refused": refused})
    elif found:
        columns = ("function", *_NUMBERS, "registered (UTC)", "contract", "script")
        print_table(columns, map(_to_row, found), right=_NUMBERS, long="script")
    else:
        click.echo(f"no function is registered under {root.uri}")
    if refused and not as_json:
        click.echo(f"refused each time so far: {', '.join(refused)}")
    return UNAVAILABLE if any(each.error and each.error["kind"] == "StorageError" for each in found) else OK


def _to_row(summary: FunctionSummary) -> tuple[Any, ...]:
    where = f"unreadable: {summary.error['message']}" if summary.error else summary.script
    return (summary.function, *_pick_numbers(summary), summary.created, summary.contract, where)


def _pick_numbers(record: Any) -> tuple[Any, ...]:
    """Return the values of the columns ``_NUMBERS``."""
    return record.function_version, record.version, record.alg_index, record.score


def _print_history(history: History) -> None:
    rows = (
        (*_pick_numbers(entry), entry.at, _describe_entry(entry), entry.by, entry.job_id, entry.reason)
        for entry in reversed(history.history)
    )
    print_table((*_NUMBERS, "at (UTC)", "what", "by", "job", "reason"), rows, right=_NUMBERS, long="reason")


def _describe_entry(entry: HistoryEntry) -> str:
    """Return ``registered``, ``rolled back`` or ``refused``, with ``current``, and ``gone`` when its package is missing."""
    marks = {"current": entry.current, "gone": not entry.available and entry.happened != "refused"}
    return ", ".join([entry.happened, *(mark for mark, holds in marks.items() if holds)])


@click.command(short_help="Point a function to an earlier package.")
@path_argument
@function_argument("name", metavar="NAME")
@click.option("--to", "to", type=click.IntRange(min=1), metavar="N", help="A function version of its history to point to.")
@click.option("--reason", metavar="TEXT", help="The reason, which the function's history keeps.")
@click.option("--dry-run", is_flag=True, help="Check, and print what would change; change nothing.")
@json_option
def rollback(path: str, name: str, to: int | None, reason: str | None, dry_run: bool, as_json: bool) -> None:
    """Point a function to the package before its current one.

    The earlier package and its model are compared with their digests first;
    when they are missing or changed, the function stays unchanged. A second
    rollback goes one package further back.

    \b
    Example:
      mlsql rollback /models/spam jack --to 2 --reason "scores too low"
    """
    from mlsql_runtime.store.rollback import choose_rollback, roll_back
    from mlsql_runtime.store.versions import open_store

    root = open_store(path).root
    chosen = choose_rollback(root, name, to)
    by = current_user()
    if not dry_run:
        roll_back(root, chosen, by, reason)
    if as_json:
        sides = {"before": _to_document(chosen.before), "after": _to_document(chosen.target)}
        print_json({"model_path": root.uri, "function": name, "dry_run": dry_run, "by": by, "reason": reason, **sides})
    else:
        verb = "would move" if dry_run else "moved"
        click.echo(f"{name} {verb} from {_describe(chosen.before)}\n{'':{len(name)}} to {_describe(chosen.target)}")


def _to_document(record: PointerMove | FunctionRecord) -> dict[str, Any]:
    return dict(zip(("function_version", "version", "alg_index", "score"), _pick_numbers(record), strict=True))


def _describe(record: PointerMove | FunctionRecord) -> str:
    score = "no score" if record.score is None else f"score {format_value(record.score)}"
    return f"function version {record.function_version} (model version {record.version}, group {record.alg_index}, {score})"
