"""``mlsql functions``, ``mlsql rollback``: what is registered under a model path, and going back to what was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from mlsql_runtime.cli.exit_codes import OK, UNAVAILABLE
from mlsql_runtime.cli.model_path import local_names, path_argument
from mlsql_runtime.cli.output import cell, print_json, print_table
from mlsql_runtime.cli.parameters import json_option
from mlsql_runtime.cli.who import who

if TYPE_CHECKING:
    from mlsql_runtime.store.history import History, HistoryEntry
    from mlsql_runtime.store.manifest import FunctionRecord, PointerMove
    from mlsql_runtime.store.summary import FunctionSummary


class FunctionName(click.ParamType[str]):
    """A registered function's name; a shell completes those of a local model path."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names under the path before it."""
        names = sorted(local_names(ctx.params.get("path"), "_functions"))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command(short_help="Functions registered under a model path.")
@path_argument
@click.argument("name", type=FunctionName(), required=False, metavar="[NAME]")
@json_option
def functions(path: str, name: str | None, as_json: bool) -> int:
    """List the functions registered under a model path.

    With NAME, the history of one of them: what was registered, refused and
    rolled back, when, by whom, and why.

    \b
    Example:
      mlsql functions /models/spam jack
    """
    from mlsql_runtime.store.history import read_history
    from mlsql_runtime.store.refusals import never_registered
    from mlsql_runtime.store.summary import summarize_functions
    from mlsql_runtime.store.versions import look_into

    root = look_into(path).root
    if name is not None:
        history = read_history(root, name)
        print_json(history) if as_json else _print_history(history)
        return OK
    found, refused = summarize_functions(root), never_registered(root)
    if as_json:
        print_json({"model_path": root.uri, "functions": found, "refused": refused})
    elif found:
        print_table(_COLUMNS, map(_row, found), right=_NUMBERS, cut="script")
    else:
        click.echo(f"no function is registered under {root.uri}")
    if refused and not as_json:
        click.echo(f"refused each time so far: {', '.join(refused)}")
    return UNAVAILABLE if any(each.error and each.error["kind"] == "StorageError" for each in found) else OK


_NUMBERS = ("function version", "model version", "group", "score")
_COLUMNS = ("function", *_NUMBERS, "registered (UTC)", "contract", "script")


def _row(summary: FunctionSummary) -> tuple[Any, ...]:
    return (
        summary.function,
        summary.function_version,
        summary.version,
        summary.alg_index,
        summary.score,
        summary.created,
        summary.contract,
        f"unreadable: {summary.error['message']}" if summary.error else summary.script,
    )


def _print_history(history: History) -> None:
    rows = [
        (
            entry.function_version,
            entry.version,
            entry.alg_index,
            entry.score,
            entry.at,
            _happened(entry),
            entry.by,
            entry.job_id,
            entry.reason,
        )
        for entry in reversed(history.history)
    ]
    print_table((*_NUMBERS, "at (UTC)", "what", "by", "job", "reason"), rows, right=_NUMBERS, cut="reason")


def _happened(entry: HistoryEntry) -> str:
    """``registered``, ``rolled back`` or ``refused``; and whether it is current, or cannot be gone back to."""
    if entry.current:
        return f"{entry.happened}, current"
    return entry.happened if entry.available or entry.happened == "refused" else f"{entry.happened}, gone"


@click.command(short_help="Point a function back to what it was.")
@path_argument
@click.argument("name", type=FunctionName(), metavar="NAME")
@click.option("--to", "to", type=click.IntRange(min=1), metavar="N", help="The function version to go to, of its history.")
@click.option("--reason", metavar="TEXT", help="Why; the function's history keeps it.")
@click.option("--dry-run", is_flag=True, help="Check and say what would change; change nothing.")
@json_option
def rollback(path: str, name: str, to: int | None, reason: str | None, dry_run: bool, as_json: bool) -> None:
    """Point a function to the package before its current one.

    Its package and model are compared with their digests first; when they are
    gone or changed, the function stays as it is. A second rollback goes one
    package further back.

    \b
    Example:
      mlsql rollback /models/spam jack --to 2 --reason "scores too low"
    """
    from mlsql_runtime.store.rollback import choose_rollback, roll_back
    from mlsql_runtime.store.versions import look_into

    root = look_into(path).root
    chosen = choose_rollback(root, name, to)
    by = who()
    if not dry_run:
        roll_back(root, chosen, by, reason)
    if as_json:
        sides = {"before": _side(chosen.before), "after": _side(chosen.target)}
        print_json({"model_path": root.uri, "function": name, "dry_run": dry_run, "by": by, "reason": reason, **sides})
    else:
        verb = "would be pointed" if dry_run else "is pointed"
        click.echo(f"{name} {verb} from {_told(chosen.before)}\n{'':{len(name)}} to {_told(chosen.target)}")


def _side(record: PointerMove | FunctionRecord) -> dict[str, Any]:
    return {
        "function_version": record.function_version,
        "version": record.version,
        "alg_index": record.alg_index,
        "score": record.score,
    }


def _told(record: PointerMove | FunctionRecord) -> str:
    score = "no score" if record.score is None else f"score {cell(record.score)}"
    return f"function version {record.function_version} (model version {record.version}, group {record.alg_index}, {score})"
