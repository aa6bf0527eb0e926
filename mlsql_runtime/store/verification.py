"""Whether a version's files, and the function packages that answer for it, are what they were: each, not the first only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mlsql_runtime.errors import FileMissing, FormatError, IntegrityError, MLSQLError, StorageError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.functions import function_dir, read_function
from mlsql_runtime.store.manifest import FileEntry, Manifest
from mlsql_runtime.store.summary import FunctionPackage, FunctionPointers
from mlsql_runtime.store.versions import read_manifest, verify_files

Problem = Literal["missing", "different", "damaged", "unreadable"]


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """A file, by its path relative to the model path. ``problem`` is None when it is what it should be.

    ``damaged`` is a document of the store that cannot be understood, ``unreadable`` what storage refuses.
    """

    path: str
    size: int | None
    problem: Problem | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True)
class FunctionCheck:
    """A function package that answers for a version. ``model_path`` is where it looks for its model, None when not known."""

    function: str
    function_version: int
    version: int
    current: bool
    model_path: str | None
    files: tuple[FileCheck, ...]


@dataclass(frozen=True, kw_only=True)
class VersionCheck:
    """A version's files, and the function packages that answer for it."""

    version: int
    files: tuple[FileCheck, ...]
    functions: tuple[FunctionCheck, ...]

    @property
    def checks(self) -> Iterator[FileCheck]:
        """All of its files and theirs."""
        yield from self.files
        for function in self.functions:
            yield from function.files


def check_version(root: Location, version: int, pointers: FunctionPointers) -> VersionCheck:
    """Compare every file of a complete version with its digest, and every package that names it.

    :raises VersionNotFound: when there is no such version; what is wrong with one that is there is in the answer.
    """
    folder = layout.version_dir(root, version)
    manifest: Manifest | None = None
    try:
        manifest = read_manifest(root, version)
        files = check_files(folder, manifest.files)
    except VersionNotFound:
        raise
    except (FormatError, StorageError) as error:
        files = (_failed(f"{folder.name}/{layout.MANIFEST}", error),)
    functions = tuple(check_package(root, meaning, version, manifest) for meaning in pointers.packages_of(version))
    return VersionCheck(version=version, files=files, functions=functions)


def check_orphans(root: Location, complete: Iterable[int], pointers: FunctionPointers) -> tuple[FunctionCheck, ...]:
    """The current packages whose version is not among the complete ones: they cannot answer."""
    there, found = set(complete), []
    for name, pointer in pointers.by_name.items():
        move = pointer.current
        if move.version not in there:
            path = f"{layout.version_dir(root, move.version).name}/{layout.MANIFEST}"
            message = f"function {name} points to version {move.version}, which is not there"
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


def check_package(root: Location, meaning: FunctionPackage, version: int, manifest: Manifest | None) -> FunctionCheck:
    """A package's record and pickle, and that the record names the files that the version's manifest names."""
    folder = function_dir(root, meaning.function) / str(meaning.function_version)
    where = f"{layout.FUNCTIONS}/{meaning.function}/{meaning.function_version}"
    model_path = None
    try:
        record = read_function(root, meaning.function, meaning.function_version)
    except (VersionNotFound, FormatError, StorageError) as error:
        files: tuple[FileCheck, ...] = (_failed(f"{where}/{layout.FUNCTION}", error),)
    else:
        model_path = record.model_path
        known = set(manifest.files) if manifest else set(record.model_files)
        other = [entry.path for entry in record.model_files if entry not in known]
        message = (
            f"function {meaning.function} names {other[0]}, not as the manifest of version {version} does" if other else None
        )
        own = FileCheck(path=f"{where}/{layout.FUNCTION}", size=None, problem="different" if other else None, message=message)
        files = (own, *check_files(folder, [record.pickle], where))
    return FunctionCheck(
        function=meaning.function,
        function_version=meaning.function_version,
        version=version,
        current=meaning.current,
        model_path=model_path,
        files=files,
    )


def check_files(folder: Location, entries: Iterable[FileEntry], where: str | None = None) -> tuple[FileCheck, ...]:
    """Every file on its own.

    :param where: the folder's path relative to the model path; by default its name.
    """
    return tuple(_check(folder, entry, f"{where or folder.name}/{entry.path}") for entry in entries)


def _check(folder: Location, entry: FileEntry, path: str) -> FileCheck:
    try:
        verify_files(folder, [entry])
    except (IntegrityError, StorageError) as error:
        return _failed(path, error, entry.size)
    return FileCheck(path=path, size=entry.size)


def _failed(path: str, error: MLSQLError, size: int | None = None) -> FileCheck:
    problem: Problem = "unreadable"
    if isinstance(error, (FileMissing, VersionNotFound)):
        problem = "missing"
    elif isinstance(error, IntegrityError):
        problem = "different"
    elif isinstance(error, FormatError):
        problem = "damaged"
    return FileCheck(path=path, size=size, problem=problem, message=error.message)
