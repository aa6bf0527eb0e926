"""Compare the files of a version, and the function packages made from it, with the digests in their documents."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mlsql_runtime.errors import FileMissing, FormatError, IntegrityError, MLSQLError, StorageError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.functions import FunctionPackage, FunctionPointers, function_dir, read_function
from mlsql_runtime.store.manifest import FileEntry, Manifest
from mlsql_runtime.store.versions import read_manifest

Problem = Literal["missing", "different", "damaged", "unreadable"]


def verify_files(folder: Location, files: Iterable[FileEntry]) -> None:
    """Compare files below ``folder`` with their entries.

    :raises IntegrityError: naming the first file that differs, with the digest expected and the one found.
    :raises FileMissing: naming the first file that does not exist.
    """
    for entry in files:
        place = folder / entry.path
        _check_digest(place, entry, place.sha256_or_none())


def read_verified(folder: Location, entry: FileEntry) -> bytes:
    """Read a file below ``folder`` whose bytes have the digest of its entry. The errors are those of :func:`verify_files`."""
    place = folder / entry.path
    content = place.read_or_none()
    _check_digest(place, entry, None if content is None else hashlib.sha256(content).hexdigest())
    assert content is not None
    return content


def _check_digest(place: Location, entry: FileEntry, found: str | None) -> None:
    """Compare a file's digest with that of its entry; None stands for a file that does not exist."""
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


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """The check of a file, by its path relative to the model path. ``problem`` is None for a file as it should be.

    A ``damaged`` file is a document of the store that cannot be understood; an ``unreadable`` one is refused by the storage.
    """

    path: str
    size: int | None
    problem: Problem | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True)
class FunctionCheck:
    """The check of a function package. ``model_path`` is where it reads its model, None if its record cannot be read."""

    function: str
    function_version: int
    version: int
    current: bool
    model_path: str | None
    files: tuple[FileCheck, ...]


@dataclass(frozen=True, kw_only=True)
class VersionCheck:
    """The checks of a version's files and of the function packages made from it."""

    version: int
    files: tuple[FileCheck, ...]
    functions: tuple[FunctionCheck, ...]

    @property
    def checks(self) -> Iterator[FileCheck]:
        """All files, those of the packages too."""
        yield from self.files
        for function in self.functions:
            yield from function.files


def check_version(root: Location, version: int, pointers: FunctionPointers) -> VersionCheck:
    """Check every file of a complete version, and every package made from it. Problems are in the result.

    :raises VersionNotFound: when there is no such version.
    """
    folder = layout.version_dir(root, version)
    manifest: Manifest | None = None
    try:
        manifest = read_manifest(root, version)
        files = _check_files(folder, manifest.files, folder.name)
    except (FormatError, StorageError) as error:
        files = (_to_check(f"{folder.name}/{layout.MANIFEST}", error),)
    functions = tuple(_check_package(root, package, version, manifest) for package in pointers.packages_of(version))
    return VersionCheck(version=version, files=files, functions=functions)


def check_orphans(root: Location, complete: Iterable[int], pointers: FunctionPointers) -> tuple[FunctionCheck, ...]:
    """Return a problem for each function whose current version is not one of the complete ones: it cannot predict."""
    existing, found = set(complete), []
    for name, pointer in pointers.by_name.items():
        move = pointer.current
        if move.version not in existing:
            path = layout.version_file(move.version, layout.MANIFEST)
            message = f"function {name} points to version {move.version}, which does not exist"
            check = FileCheck(path=path, size=None, problem="missing", message=message)
            found.append(
                FunctionCheck(
                    function=name,
                    function_version=move.function_version,
                    version=move.version,
                    current=True,
                    model_path=None,
                    files=(check,),
                )
            )
    return tuple(found)


def _check_package(root: Location, package: FunctionPackage, version: int, manifest: Manifest | None) -> FunctionCheck:
    """Check the package's record and pickle, and that record and manifest name the same model files."""
    name, number = package.function, package.function_version
    where = f"{layout.FUNCTIONS}/{name}/{number}"
    model_path = None
    try:
        record = read_function(root, name, number)
    except (VersionNotFound, FormatError, StorageError) as error:
        files: tuple[FileCheck, ...] = (_to_check(f"{where}/{layout.FUNCTION}", error),)
    else:
        model_path = record.model_path
        known = set(manifest.files if manifest else record.model_files)
        own = FileCheck(path=f"{where}/{layout.FUNCTION}", size=None)
        if other := [entry.path for entry in record.model_files if entry not in known]:
            message = f"function {name} names {other[0]} with another size or digest than the manifest of version {version}"
            own = FileCheck(path=own.path, size=None, problem="different", message=message)
        files = (own, *_check_files(function_dir(root, name) / str(number), [record.pickle], where))
    return FunctionCheck(
        function=name,
        function_version=number,
        version=version,
        current=package.current,
        model_path=model_path,
        files=files,
    )


def _check_files(folder: Location, entries: Iterable[FileEntry], where: str) -> tuple[FileCheck, ...]:
    """Check each file; ``where`` is the folder's path relative to the model path."""
    checks = []
    for entry in entries:
        path = f"{where}/{entry.path}"
        try:
            verify_files(folder, [entry])
            checks.append(FileCheck(path=path, size=entry.size))
        except (IntegrityError, StorageError) as error:
            checks.append(_to_check(path, error, entry.size))
    return tuple(checks)


_PROBLEMS: tuple[tuple[type[MLSQLError], Problem], ...] = (  # subclasses first
    (FileMissing, "missing"),
    (VersionNotFound, "missing"),
    (IntegrityError, "different"),
    (FormatError, "damaged"),
    (StorageError, "unreadable"),
)


def _to_check(path: str, error: MLSQLError, size: int | None = None) -> FileCheck:
    problem = next(problem for kind, problem in _PROBLEMS if isinstance(error, kind))
    return FileCheck(path=path, size=size, problem=problem, message=error.message)
