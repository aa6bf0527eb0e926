"""``mlsql models verify``: compare files with the digests in the manifest."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from mlsql_runtime.cli.options import json_option, path_argument, version_argument
from mlsql_runtime.cli.output import format_count, format_size, format_value, print_json
from mlsql_runtime.cli.process import FAILED, OK, UNAVAILABLE
from mlsql_runtime.errors import StorageError, to_json

if TYPE_CHECKING:
    from mlsql_runtime.store.verification import FileCheck, VersionCheck
    from mlsql_runtime.store.versions import ModelStore


@click.command(short_help="Compare files with their digests.")
@path_argument
@version_argument("version", required=False, metavar="[VERSION]")
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
    numbers = _choose_versions(store, version, every)
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


def _choose_versions(store: ModelStore, version: int | None, every: bool) -> list[int]:
    """Return the version that the command names, the newest complete one, or all complete ones. Manifests are not read yet.

    :raises VersionNotFound: when there is none.
    """
    from mlsql_runtime.store.versions import read_manifest, read_states

    def is_complete(number: int) -> bool:
        try:
            return read_states(store.root, [number])[number] == "complete"
        except StorageError:
            return True  # it may be; its check says what cannot be read

    complete = (number for number in store.versions if version in (None, number) and is_complete(number))
    chosen = list(complete if every else itertools.islice(complete, 1))
    return chosen or [read_manifest(store.root, version).version]


def _print_check(model_path: str, check: VersionCheck) -> None:
    click.echo(f"version {check.version}")
    _print_files(check.files)
    for function in check.functions:
        state = "current" if function.current else "before"
        click.echo(f"  function {function.function}, version {function.function_version} ({state})")
        _print_files(function.files)
        if function.model_path not in (None, model_path):
            click.echo(f"  note        it was registered for {function.model_path}, and reads its model there, not here")


def _print_files(files: Iterable[FileCheck]) -> None:
    for file in files:
        size = "" if file.size is None else f" ({format_size(file.size)})"
        click.echo(f"  {file.problem or 'ok':<10}  {format_value(file.path)}{size}")
        if file.message:
            click.echo(f"{'':14}{format_value(file.message)}")


def _print_verdict(model_path: str, checked: Sequence[VersionCheck], wrong: int) -> None:
    count = sum(1 for check in checked for _ in check.checks)
    what = f"{format_count(count, 'file')} of {format_count(len(checked), 'version')} of {model_path}"
    if wrong:
        click.echo(f"{format_count(wrong, 'problem')} in {what}; restore the files, or train and register again")
    else:
        click.echo(f"nothing differs: {what}")
