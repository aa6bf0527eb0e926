"""The versions under a model path: their numbers, the state of each, and the documents that say so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlsql_runtime.errors import FormatError, InputError, VersionNotFound
from mlsql_runtime.plan import NO_ACCESS, StorageAccess
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import FailureRecord, FitRecord, Manifest, VersionState, check_subject, load

_SHOWN = 10  # versions in an error


@dataclass(frozen=True)
class ModelStore:
    """A model path that holds something. ``versions`` are all numbers that were ever claimed, newest first."""

    root: Location
    versions: tuple[int, ...]


def open_model_path(model_path: str, access: StorageAccess = NO_ACCESS) -> Location:
    """Return the model path, which may not exist yet.

    :param access: connections to storage.
    :raises InputError: when it is a file.
    """
    root = Location.of(model_path, access)
    if root.is_file():
        raise InputError(
            f"the model path {root.uri} is a file; expected a folder, or a path that does not exist yet", path=root.uri
        )
    return root


def open_store(model_path: str, access: StorageAccess = NO_ACCESS) -> ModelStore:
    """Open a model path that must hold a version or a function, with one listing.

    :param access: connections to storage.
    :raises InputError: when it holds neither; an empty store and a wrong path must not look alike.
    """
    root = open_model_path(model_path, access)
    names = root.list_names()
    numbers = layout.parse_version_numbers(names)
    if not numbers and layout.FUNCTIONS not in names:
        raise InputError(_explain_missing_store(root, names), path=root.uri)
    return ModelStore(root, tuple(reversed(numbers)))


def _explain_missing_store(root: Location, names: list[str]) -> str:
    if not names:
        if root.exists():
            return f"{root.uri} is empty; no training has published a version there yet"
        return f"{root.uri} does not exist; expected a model path, which a training creates"
    number = layout.parse_version_numbers([root.name])
    if number and {layout.MANIFEST, layout.FAILURE, layout.CLAIM} & set(names):
        return f"{root.uri} is the folder of version {number[0]}; the model path is {root.uri.rsplit('/', 1)[0]}"
    if layout.STAGING in names:
        return f"{root.uri} holds no version yet; a training is running there, or was killed"
    shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    return f"{root.uri} is not a model path: it holds {shown}, and no version (such as _model_1)"


def read_states(root: Location, numbers: Iterable[int] | None = None) -> dict[int, VersionState]:
    """Return the state of versions, newest first.

    ``unfinished`` is a training that is publishing, or was killed while it did. Many versions cost one listing of the numbers
    and one look for all their documents.

    :param numbers: the few versions to look at; by default all that were ever claimed.
    """
    wanted = sorted(layout.list_claimed_versions(root) if numbers is None else numbers, reverse=True)
    documents = {"complete": layout.MANIFEST, "failed": layout.FAILURE}
    if numbers is not None:
        names = [layout.version_file(number, name) for number in wanted for name in documents.values()]
        existing = {name for name in names if (root / name).exists()}
    else:
        existing = _find_documents(root, wanted)

    def has(number: int, state: VersionState) -> bool:
        return layout.version_file(number, documents[state]) in existing

    return {n: "complete" if has(n, "complete") else "failed" if has(n, "failed") else "unfinished" for n in wanted}


def _find_documents(root: Location, numbers: list[int]) -> set[str]:
    """Return the manifests that exist, and the failure records of versions without one."""
    manifests = {number: layout.version_file(number, layout.MANIFEST) for number in numbers}
    failures = {number: layout.version_file(number, layout.FAILURE) for number in numbers}
    if not root.storage.has_folders:  # one listing has both
        return root.existing([*manifests.values(), *failures.values()])
    found = root.existing(manifests.values())
    return found | root.existing(failures[number] for number in numbers if manifests[number] not in found)


def read_record(root: Location, version: int) -> Manifest | FailureRecord | None:
    """Read the document that ends a version: one file if the version is complete. None for an unfinished version.

    :raises FormatError: naming the file that is damaged.
    :raises StorageError: naming the file that cannot be read.
    """
    if (manifest := _read_manifest(root, version)) is not None:
        return manifest
    place = layout.version_dir(root, version) / layout.FAILURE
    text = place.read_or_none()
    if text is None:
        return None
    record = load(FailureRecord, text, place.uri)
    check_subject(record, place.uri, version=version)
    return record


def read_manifest(root: Location, version: int | None = None) -> Manifest:
    """Read the manifest of a complete version, by default of the newest: one file, and one listing if no version is given.

    :raises VersionNotFound: naming the versions that exist.
    """
    for number in reversed(layout.list_claimed_versions(root)) if version is None else (version,):
        if (manifest := _read_manifest(root, number)) is not None:
            return manifest
    raise VersionNotFound(_explain_missing_version(root, version), path=root.uri, version=version)


def _read_manifest(root: Location, version: int) -> Manifest | None:
    place = layout.version_dir(root, version) / layout.MANIFEST
    text = place.read_or_none()
    if text is None:
        return None
    manifest = load(Manifest, text, place.uri)
    check_subject(manifest, place.uri, version=version)
    if not any(fit.status == "success" for fit in manifest.fits):
        raise FormatError(f"{place.uri}: none of its groups succeeded; the file is damaged or was written by something else")
    return manifest


def _explain_missing_version(root: Location, version: int | None) -> str:
    states = read_states(root)
    complete = [number for number, state in states.items() if state == "complete"]
    existing = "no training has published one there yet"
    if complete:
        older = len(complete) - _SHOWN
        existing = f"complete versions are {', '.join(str(number) for number in reversed(complete[:_SHOWN]))}"
        existing += f", and {older:,} older ones" if older > 0 else ""
    if version is None:
        return f"{root.uri} holds no complete model version; {existing}"
    reasons = {"failed": " (its training failed)", "unfinished": " (its training has not finished)"}
    reason = reasons.get(states[version], "") if version in states else ""
    return f"{root.uri} holds no complete version {version}{reason}; {existing}"


def choose_fit(manifest: Manifest, alg_index: int | None, where: str) -> FitRecord:
    """Return the fit group ``alg_index``, which must have succeeded, or the best one.

    :raises VersionNotFound: when there is no such group, or it failed.
    """
    fit = manifest.fit(manifest.best.alg_index if alg_index is None else alg_index)
    if fit is None or fit.status != "success":
        good = ", ".join(str(f.alg_index) for f in manifest.fits if f.status == "success")
        found = "does not exist" if fit is None else f"did not succeed ({fit.message})"
        raise VersionNotFound(
            f"version {manifest.version} of {where}: fit group {alg_index} {found}; successful groups are {good}"
        )
    return fit
