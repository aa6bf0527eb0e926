"""Load functions and their models into the process that scores: checked against their digests, and cached."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from mlsql_runtime import codec
from mlsql_runtime.errors import InputError, IntegrityError
from mlsql_runtime.plan import NO_ACCESS, StorageAccess
from mlsql_runtime.scoring.loaded_function import LoadedFunction, check_python, make_function
from mlsql_runtime.script.process import scratch_dir
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.functions import function_dir
from mlsql_runtime.store.manifest import FileEntry
from mlsql_runtime.store.verification import read_verified, verify_files

CACHED_FUNCTIONS = 8  # a worker that calls more functions reloads the one it used longest ago
UNUSED_SECONDS = 7 * 24 * 3600.0  # after which a model is removed from a node


def load_function(record: FunctionRecord, access: StorageAccess = NO_ACCESS) -> LoadedFunction:
    """Return the function of a package, from this process's cache or from the store.

    :raises InterpreterError: when the function was pickled by another minor version of Python.
    :raises IntegrityError: when a file differs from the one that the package names.
    :raises ScriptFailed: when the function cannot be unpickled here.
    """
    return load_document(codec.dumps(record), access)


@functools.lru_cache(maxsize=CACHED_FUNCTIONS)
def load_document(document: str, access: StorageAccess = NO_ACCESS) -> LoadedFunction:
    """Do :func:`load_function` for a record as JSON, which is the key of the cache: two model paths may hold equal functions."""
    record = codec.loads(FunctionRecord, document, "the record of a function")
    pickled, version = _read_package(record, access)
    model = local_model(version, record.alg_index, record.model_files)
    return make_function(record, pickled, str(model))


def check_function(record: FunctionRecord, access: StorageAccess = NO_ACCESS) -> None:
    """Check on the driver what :func:`load_function` checks on every executor, without loading anything.

    The files of a remote model are not read: the executors read them anyway.
    """
    _, version = _read_package(record, access)
    if version.is_local:
        verify_files(version, record.model_files)


def _read_package(record: FunctionRecord, access: StorageAccess) -> tuple[bytes, Location]:
    """Read the pickle that was registered, and return it with the folder of its model's version.

    :raises InterpreterError: for another Python than that of the registration.
    """
    check_python(record)
    try:
        root = Location.of(record.model_path, access)
    except InputError as error:
        raise InputError(f"the package of function {record.function}: its model path {error.message}") from error
    package = function_dir(root, record.function) / str(record.function_version)
    return read_verified(package, record.pickle), layout.version_dir(root, record.version)


def local_model(version: Location, alg_index: int, files: tuple[FileEntry, ...]) -> Path:
    """Return a local folder with the fit group's model, every file verified.

    A model in local storage is used in place. Another one is copied once per node and kept, until it was not used for a week. A
    copy that has changed, for example because old temporary files were removed, is replaced.

    :raises IntegrityError: when the store itself has other files.
    """
    if version.is_local:
        verify_files(version, files)
        return Path(version.path) / layout.model_dir(alg_index)
    digest = hashlib.sha256("".join(entry.sha256 + entry.path for entry in files).encode()).hexdigest()
    cache = Path(scratch_dir()) / f"mlsql-models-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        raise IntegrityError(f"{cache} belongs to another user, who could change models in it; remove it", path=str(cache))
    cached = cache / digest
    if not cached.exists():
        _remove_unused(cache)
        _download(version, alg_index, cached)
    try:
        verify_files(Location.of(str(cached)), files)
    except IntegrityError:
        with tempfile.TemporaryDirectory(dir=cache) as aside:
            with contextlib.suppress(FileNotFoundError):  # another worker has set it aside
                cached.rename(Path(aside) / "changed")
            _download(version, alg_index, cached)
        verify_files(Location.of(str(cached)), files)
    with contextlib.suppress(OSError):
        os.utime(cached)
    return cached / layout.model_dir(alg_index)


def _download(version: Location, alg_index: int, cached: Path) -> None:
    folder = layout.model_dir(alg_index)
    with tempfile.TemporaryDirectory(dir=cached.parent) as staged:
        place = Path(staged) / "copy"
        (version / folder).download(place / folder)
        try:
            place.rename(cached)
        except OSError:  # another worker of this node was first, with the same files
            if not cached.exists():
                raise


def _remove_unused(cache: Path) -> None:
    """Remove models that nobody has loaded for long, and what killed processes have left."""
    for path in cache.iterdir():
        with contextlib.suppress(OSError):  # another worker removes it
            if time.time() - path.stat().st_mtime > UNUSED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
