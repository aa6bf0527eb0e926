"""Reading a model path: which versions are complete, what they hold, whether their files are still what they were."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mlsql_runtime.errors import FileMissing, InputError, IntegrityError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import FailureRecord, FileEntry, Manifest, load

VersionState = Literal["complete", "failed", "unfinished"]
_SHOWN = 10  # versions in an error


@dataclass(frozen=True)
class VersionInfo:
    """One claimed number. ``unfinished`` is a training under way, or one that was killed."""

    version: int
    state: VersionState


def open_model_path(model_path: str) -> Location:
    """The model path, which may not exist yet.

    :raises InputError: when it is a file.
    """
    root = Location.of(model_path)
    if root.is_file():
        raise InputError(
            f"the model path {root.uri} is a file; expected a folder, or a path that does not exist yet", path=root.uri
        )
    return root


@dataclass(frozen=True)
class ModelStore:
    """A model path that holds something: ``versions`` are the numbers ever claimed, newest first."""

    root: Location
    versions: tuple[int, ...]


def open_store(model_path: str) -> ModelStore:
    """The model path, which must hold a version or a function: one listing.

    :raises InputError: when there is no such path, or it is something else; an empty store and a wrong path must not look alike.
    """
    root = open_model_path(model_path)
    names = root.list_names()
    found = layout.parse_version_numbers(names)
    if not found and layout.FUNCTIONS not in names:
        raise InputError(_no_model_path(root, names), path=root.uri)
    return ModelStore(root, tuple(reversed(found)))


def _no_model_path(root: Location, names: list[str]) -> str:
    """Why there is nothing to look at."""
    if not names:
        missing = f"{root.uri} does not exist; expected a model path, as a training has made it"
        return f"{root.uri} is empty; no training has published a version there yet" if root.exists() else missing
    if layout.parse_version_numbers([root.name]) and {layout.MANIFEST, layout.FAILURE, layout.CLAIM} & set(names):
        parent, version = root.uri.rsplit("/", 1)[0], layout.parse_version_numbers([root.name])[0]
        return f"{root.uri} is the folder of version {version}; the model path is {parent}"
    if layout.STAGING in names:
        return f"{root.uri} holds no version yet; a training is under way there, or was killed"
    shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    return f"{root.uri} is no model path: it holds {shown}, and no version (such as _model_1)"


def version_state(root: Location, version: int) -> VersionState:
    """What became of a claimed number."""
    folder = layout.version_dir(root, version)
    if (folder / layout.MANIFEST).exists():
        return "complete"
    return "failed" if (folder / layout.FAILURE).exists() else "unfinished"


def list_versions(root: Location) -> list[VersionInfo]:
    """Every claimed version, newest first: a listing of the numbers, and one look for all their documents."""
    numbers = layout.list_claimed_versions(root)
    documents = (layout.MANIFEST, layout.FAILURE)
    there = root.existing(layout.version_file(number, name) for number in numbers for name in documents)

    def state(number: int) -> VersionState:
        if layout.version_file(number, layout.MANIFEST) in there:
            return "complete"
        return "failed" if layout.version_file(number, layout.FAILURE) in there else "unfinished"

    return [VersionInfo(number, state(number)) for number in reversed(numbers)]


def read_manifest(root: Location, version: int | None = None) -> Manifest:
    """The manifest of a complete version, by default of the newest: one document, and one listing when no version is named.

    :raises VersionNotFound: naming what there is instead.
    """
    for number in reversed(layout.list_claimed_versions(root)) if version is None else (version,):
        place = layout.version_dir(root, number) / layout.MANIFEST
        text = place.read_or_none()
        if text is not None:
            return load(Manifest, text, place.uri)
    raise VersionNotFound(_no_such_version(root, version), path=root.uri, version=version)


def _no_such_version(root: Location, version: int | None) -> str:
    states = {info.version: info.state for info in list_versions(root)}
    there = _complete_ones([number for number, state in states.items() if state == "complete"])
    if version is None:
        return f"{root.uri} holds no complete model version; {there}"
    whys = {"failed": " (its training failed)", "unfinished": " (its training has not finished)"}
    why = whys.get(states[version], "") if version in states else ""
    return f"{root.uri} holds no complete version {version}{why}; {there}"


def _complete_ones(newest_first: list[int]) -> str:
    if not newest_first:
        return "no training has published one there yet"
    shown = ", ".join(str(number) for number in reversed(newest_first[:_SHOWN]))
    older = len(newest_first) - _SHOWN
    return f"complete versions are {shown}" + (f", and {older:,} older ones" if older > 0 else "")


def read_failure(root: Location, version: int) -> FailureRecord | None:
    """Why version ``version`` was not published, when its training failed."""
    place = layout.version_dir(root, version) / layout.FAILURE
    text = place.read_or_none()
    return None if text is None else load(FailureRecord, text, place.uri)


def choose_fit(manifest: Manifest, alg_index: int | None, where: str) -> int:
    """The fit group asked for, or the best one.

    :raises VersionNotFound: when there is no such group or it failed.
    """
    if alg_index is None:
        return manifest.best.alg_index
    fit = manifest.fit(alg_index)
    if fit is None or fit.status != "success":
        good = ", ".join(str(f.alg_index) for f in manifest.fits if f.status == "success")
        found = "does not exist" if fit is None else f"did not succeed ({fit.message})"
        raise VersionNotFound(
            f"version {manifest.version} of {where}: fit group {alg_index} {found}; successful groups are {good}"
        )
    return alg_index


def verify_files(folder: Location, files: Iterable[FileEntry]) -> None:
    """Compare files below ``folder`` with what their manifest says.

    :raises IntegrityError: naming the first file that is missing or different, the digest expected and the one found.
    """
    for entry in files:
        place = folder / entry.path
        found = place.sha256_or_none()
        if found is None:
            raise FileMissing(
                f"{place.uri} is missing on {socket.gethostname()}, though its manifest names it; restore it or train again, "
                "or, if it is there on another host, use storage that all hosts see",
                path=place.uri,
            )
        if found != entry.sha256:
            raise IntegrityError(
                f"{place.uri} is not the file its manifest names: expected SHA-256 {entry.sha256}, found {found}; "
                "restore it or train again",
                path=place.uri,
                expected=entry.sha256,
                found=found,
            )
