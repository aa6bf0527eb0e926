"""Load functions and their models into the process that scores: checked against their digests, and cached."""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import socket
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from mlsql_runtime import codec
from mlsql_runtime.errors import IntegrityError, InterpreterError, ScriptFailed
from mlsql_runtime.plan import NO_ACCESS, StorageAccess
from mlsql_runtime.scoring.arguments import Argument, Call, Parameters
from mlsql_runtime.scoring.batch_scorer import BatchFunction, BatchScorer
from mlsql_runtime.scoring.row_scorer import RowScorer
from mlsql_runtime.scoring.scorer import Scorer
from mlsql_runtime.script.model_packages import describe_other_packages
from mlsql_runtime.script.process import scratch_dir
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.functions import function_dir
from mlsql_runtime.store.manifest import FileEntry
from mlsql_runtime.store.verification import verify_files

CACHED_FUNCTIONS = 8  # a worker that calls more functions reloads the one it used longest ago


@dataclass(frozen=True)
class LoadedFunction:
    """A function that can be called in this process. ``calls`` are the ways it has been called, by the types of the arguments."""

    record: FunctionRecord
    scorer: Scorer
    parameters: Parameters
    calls: dict[tuple[pa.DataType, ...], Call] = field(default_factory=dict)

    def score(self, partition: int, *arguments: pa.Array) -> pa.Array:
        """Return a result of the declared type for each row.

        :raises InputError: for arguments of other types than the function takes; the message names all of them.
        :raises DataError: for vectors of another width than in training; the message names both.
        :raises ScriptFailed: when the function fails or its result breaks its contract.
        """
        kinds = tuple(argument.type for argument in arguments)
        if (call := self.calls.get(kinds)) is None:
            call = self.calls[kinds] = self.parameters.match([Argument(kind) for kind in kinds])
        width = self.record.feature_width if self.parameters.width is None else self.parameters.width
        return self.scorer.score(partition, call.collect(arguments), width)


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
    return LoadedFunction(record, _load(record, access), Parameters.of(record))


def _load(record: FunctionRecord, access: StorageAccess) -> Scorer:
    package, version = _check_package(record, access)
    model = str(local_model(version, record.alg_index, record.model_files))
    warnings.filterwarnings("ignore", "Trying to unpickle estimator")  # the driver has logged it
    try:
        function = pickle.loads((package / record.pickle.path).read())
    except (Exception, SystemExit) as error:
        raise ScriptFailed(
            f"function {record.function} cannot be loaded on {socket.gethostname()}: {type(error).__name__}: {error}"
            + (describe_other_packages(record.packages) or "; install the modules that it was registered with")
        ) from error
    if record.contract == "row":
        return RowScorer(record.function, function, model, record.train_params)
    try:
        return BatchScorer(record.function, BatchFunction(**function), model, record.input, record.returns)
    except ScriptFailed as error:
        others = describe_other_packages(record.packages)
        if others in error.message:
            raise
        raise ScriptFailed(error.message + others) from error


def check_function(record: FunctionRecord, access: StorageAccess = NO_ACCESS) -> None:
    """Check on the driver what :func:`load_function` checks on every executor, without loading anything.

    The files of a remote model are not read: the executors read them anyway.
    """
    _, version = _check_package(record, access)
    if version.is_local:
        verify_files(version, record.model_files)


def _check_package(record: FunctionRecord, access: StorageAccess) -> tuple[Location, Location]:
    """Check that the package is what was registered, and return its folder and that of its model's version.

    :raises InterpreterError: for another Python: a pickled function contains byte code, which only the same minor version
        understands.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if record.python != here:
        raise InterpreterError(
            f"function {record.function} was registered under Python {record.python} and is called under Python {here}; "
            f"register it again with Python {here}, or run the job with Python {record.python}",
            expected=record.python,
            found=here,
        )
    root = Location.of(record.model_path, access)
    package = function_dir(root, record.function) / str(record.function_version)
    verify_files(package, [record.pickle])
    return package, layout.version_dir(root, record.version)


def local_model(version: Location, alg_index: int, files: tuple[FileEntry, ...]) -> Path:
    """Return a local folder with the fit group's model, every file verified.

    A model in local storage is used in place; another one is copied once per node, and kept.
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
    folder = layout.model_dir(alg_index)
    if not cached.exists():
        with tempfile.TemporaryDirectory(dir=cache) as staged:
            place = Path(staged) / "copy"
            (version / folder).download(place / folder)
            try:
                place.rename(cached)
            except OSError:  # another worker of this node was first, with the same files
                if not cached.exists():
                    raise
    verify_files(Location.of(str(cached)), files)
    return cached / folder
