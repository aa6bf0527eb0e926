"""``mlsql models verify``: compare files with the digests in the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from mlsql_runtime.cli.options import VersionNumber, json_option, path_argument
from mlsql_runtime.cli.output import format_count, format_size, format_value, print_json
from mlsql_runtime.cli.process import FAILED, OK, UNAVAILABLE
from mlsql_runtime.errors import StorageError, to_json

if TYPE_CHECKING:
    from mlsql_runtime.store.verification import FileCheck, FunctionCheck, VersionCheck
    from mlsql_runtime.store.versions import ModelStore


@click.command(short_help="Compare files with their digests.")
@path_argument
@click.argument("version", type=VersionNumber(), required=False, metavar="[VERSION]")
@click.option("--all", "every", is_flag=True, help="Verify every complete version.")
@json_option
def verify(path: str, version: int | None, every: bool, as_json: bool) -> int:
    """Compare a version's files with the digests in its manifest.

    The packages of functions that point to the version are verified, too.
    Without VERSION, the newest complete one. Exit code 1 when a file differs.

    \b
    Example:
      mlsql models verify /models/spam --all
    """
    from mlsql_runtime.store.functions import read_pointers
    from mlsql_runtime.store.verification import check_orphans, check_version
    from mlsql_runtime.store.versions import open_store

    if every and version is not None:
        raise click.UsageError("give a VERSION or --all, not both")
    store = open_store(path)
    pointers = read_pointers(store.root)
    numbers = (list(_complete_versions(store)) if every else []) or [_choose_version(store, version)]
    checked = []
    for number in numbers:
        checked.append(check_version(store.root, number, pointers))
        if not as_json:
            _print_check(store.root.uri, checked[-1])
    orphans = check_orphans(store.root, numbers, pointers) if every else ()
    wrong = [check for version_check in checked for check in version_check.checks if check.problem]
    wrong += [check for function in orphans for check in function.files]
    if as_json:
        document = {
            "model_path": store.root.uri,
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
        _print_verdict(store.root.uri, checked, len(wrong) + len(pointers.problems))
    is_unread = [check.problem == "unreadable" for check in wrong]
    is_unread += [isinstance(problem, StorageError) for problem in pointers.problems]
    return OK if not is_unread else UNAVAILABLE if all(is_unread) else FAILED


def _choose_version(store: ModelStore, version: int | None) -> int:
    """Return the version that the command names, or the newest complete one. A damaged manifest is left to the check.

    :raises VersionNotFound: when there is no such version.
    """
    from mlsql_runtime.store.versions import read_manifest, read_states

    if version is None:
        chosen = next(_complete_versions(store), None)
    else:
        is_complete = version in store.versions and read_states(store.root, [version])[version] == "complete"
        chosen = version if is_complete else None
    return chosen or read_manifest(store.root, version).version


def _complete_versions(store: ModelStore) -> Iterator[int]:
    """Yield the complete versions, newest first; each is looked at when it is asked for."""
    from mlsql_runtime.store.versions import read_states

    return (number for number in store.versions if read_states(store.root, [number])[number] == "complete")


def _print_check(model_path: str, check: VersionCheck) -> None:
    click.echo(f"version {check.version}")
    for file in check.files:
        _print_file(file)
    for function in check.functions:
        _print_function(model_path, function)


def _print_file(file: FileCheck) -> None:
    size = "" if file.size is None else f" ({format_size(file.size)})"
    click.echo(f"  {file.problem or 'ok':<10}  {format_value(file.path)}{size}")
    if file.message:
        click.echo(f"{'':14}{format_value(file.message)}")


def _print_function(model_path: str, function: FunctionCheck) -> None:
    state = "current" if function.current else "before"
    click.echo(f"  function {function.function}, version {function.function_version} ({state})")
    for file in function.files:
        _print_file(file)
    if function.model_path not in (None, model_path):
        click.echo(f"  note        it was registered for {function.model_path}, and reads its model there, not here")


def _print_verdict(model_path: str, checked: Sequence[VersionCheck], wrong: int) -> None:
    count = sum(1 for check in checked for _ in check.checks)
    what = f"{format_count(count, 'file')} of {format_count(len(checked), 'version')} of {model_path}"
    if wrong:
        click.echo(f"{format_count(wrong, 'thing')} wrong; verified {what}; restore them, or train and register again")
    else:
        click.echo(f"all is as it was written: {what}")
