"""Removing versions that nobody needs any more, and what dead jobs left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from mlsql_runtime.errors import StorageError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.functions import find_versions_in_use
from mlsql_runtime.store.versions import VersionInfo, list_versions

STALE = timedelta(days=7)


@dataclass(frozen=True)
class Pruning:
    """What :func:`prune` removes and spares: complete versions beyond the newest to keep, newest first.

    ``pinned`` are those of them that stay because functions point to them, with the functions' names;
    ``abandoned`` the folders of dead jobs, which hold no version.
    """

    versions: tuple[int, ...]
    pinned: Mapping[int, tuple[str, ...]]
    abandoned: tuple[Location, ...]


def choose_pruning(root: Location, keep: int | None, spare: int | None = None) -> Pruning:
    """What may go when the newest ``keep`` complete versions stay (None: all of them), and ``spare``. Changes nothing."""
    there = list_versions(root)
    abandoned = tuple(_abandoned(root, there))
    if keep is None:
        return Pruning((), {}, abandoned)
    complete = [info.version for info in there if info.state == "complete"]
    pinned, beyond = find_versions_in_use(root), [number for number in complete[keep:] if number != spare]
    return Pruning(tuple(n for n in beyond if n not in pinned), {n: pinned[n] for n in beyond if n in pinned}, abandoned)


def prune(root: Location, keep: int | None, spare: int | None = None) -> list[int]:
    """Remove complete versions beyond the newest ``keep``, but not ``spare`` and none that a function points to, and what dead
    jobs left.

    :returns: the versions removed. The manifest goes first, so no reader meets half a version.
    :raises StorageError: when a folder cannot be removed.
    """
    return remove_pruned(root, choose_pruning(root, keep, spare))


def remove_pruned(root: Location, pruning: Pruning) -> list[int]:
    """Remove what was chosen, but for versions that a function was pointed to meanwhile; answers the versions removed."""
    removed = []
    for number in pruning.versions:
        if number not in find_versions_in_use(root):  # asked again each time: removing many takes long
            folder = layout.version_dir(root, number)
            (folder / layout.MANIFEST).remove_file()
            folder.remove()
            removed.append(number)
    for folder in pruning.abandoned:
        folder.remove()
    return removed


def _abandoned(root: Location, there: list[VersionInfo]) -> Iterator[Location]:
    stagings = [root / layout.STAGING / name for name in (root / layout.STAGING).list_names()]
    unfinished = [layout.version_dir(root, info.version) for info in reversed(there) if info.state == "unfinished"]
    oldest_kept = datetime.now(timezone.utc) - STALE
    for folder in stagings + unfinished:
        if _has_rested_since(folder, oldest_kept):
            yield folder


def _has_rested_since(folder: Location, time: datetime) -> bool:
    """Whether it holds files and none was written since: of a folder in use, the first file or two tell."""
    with contextlib.suppress(StorageError):  # another job may be removing it right now
        names = folder.list_files()
        return bool(names) and all((folder / name).modified_at() < time for name in names)
    return False
