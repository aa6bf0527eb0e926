"""Remove old versions, and the folders of dead jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from mlsql_runtime.errors import StorageError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.functions import find_versions_in_use
from mlsql_runtime.store.manifest import VersionState
from mlsql_runtime.store.versions import read_states

STALE = timedelta(days=7)


@dataclass(frozen=True)
class Pruning:
    """A plan of what to remove.

    :param versions: the complete versions to remove, newest first.
    :param pinned: versions that are old enough but stay because functions point to them, with the functions' names.
    :param abandoned: the folders of dead jobs to remove; none holds a version.
    """

    versions: tuple[int, ...]
    pinned: Mapping[int, tuple[str, ...]]
    abandoned: tuple[Location, ...]


def choose_pruning(root: Location, keep: int | None, spare: int | None = None) -> Pruning:
    """Choose what to remove if the newest ``keep`` complete versions stay (None: all of them), and ``spare``. Changes nothing."""
    states = read_states(root)
    abandoned = tuple(_find_abandoned(root, states))
    if keep is None:
        return Pruning((), {}, abandoned)
    complete = [number for number, state in states.items() if state == "complete"]
    in_use, old = find_versions_in_use(root), [number for number in complete[keep:] if number != spare]
    return Pruning(tuple(n for n in old if n not in in_use), {n: in_use[n] for n in old if n in in_use}, abandoned)


def prune(root: Location, keep: int | None, spare: int | None = None) -> list[int]:
    """Remove complete versions beyond the newest ``keep``, but not ``spare`` nor any that a function points to, and the folders
    of dead jobs. Each manifest is removed before its files, so that no reader finds half a version.

    :returns: the versions removed.
    :raises StorageError: when a folder cannot be removed.
    """
    return remove_pruned(root, choose_pruning(root, keep, spare))


def remove_pruned(root: Location, pruning: Pruning) -> list[int]:
    """Remove what was chosen, except versions to which a function points meanwhile, and return the versions removed."""
    removed = []
    for number in pruning.versions:
        if number not in find_versions_in_use(root):  # read each time: removing many versions takes long
            folder = layout.version_dir(root, number)
            (folder / layout.MANIFEST).remove_file()
            folder.remove()
            removed.append(number)
    for folder in pruning.abandoned:
        if not (folder / layout.MANIFEST).exists():  # a writer may have come back to life
            folder.remove()
    return removed


def _find_abandoned(root: Location, states: Mapping[int, VersionState]) -> Iterator[Location]:
    stale = datetime.now(timezone.utc) - STALE
    for name in (root / layout.STAGING).list_names():
        if _is_unchanged_since(folder := root / layout.STAGING / name, stale):
            yield folder
    unfinished = {number: layout.version_dir(root, number) for number in sorted(states) if states[number] == "unfinished"}
    old = {number: folder for number, folder in unfinished.items() if _is_unchanged_since(folder, stale)}
    needed = find_versions_in_use(root) if old else {}  # one whose manifest somebody has removed can be mended
    yield from (folder for number, folder in old.items() if number not in needed)


def _is_unchanged_since(folder: Location, time: datetime) -> bool:
    """Return whether the folder holds files and none was written since ``time``."""
    with contextlib.suppress(StorageError):  # another job may be removing it at this moment
        newest = folder.newest_write()
        return newest is not None and newest < time
    return False
