"""Load a function and its model in the process that scores, once: checked against their digests, cached, bounded."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import sys
import tempfile
from collections import OrderedDict
from pathlib import Path

from mlsql_runtime import codec
from mlsql_runtime.errors import IntegrityError, InterpreterError, ScriptFailed
from mlsql_runtime.scoring.contract import RowScorer, Scorer
from mlsql_runtime.script.process import scratch_dir
from mlsql_runtime.store import layout
from mlsql_runtime.store.functions import function_dir
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.manifest import FileEntry, FunctionRecord
from mlsql_runtime.store.read import verify

CACHED_SCORERS = 8  # a worker that serves more functions at once loads again what it used longest ago

_scorers: OrderedDict[str, Scorer] = OrderedDict()


def load_scorer(record: FunctionRecord) -> Scorer:
    """The scorer of a function package, from this process's cache or from the store.

    :raises InterpreterError: when the function was pickled by another minor version of Python.
    :raises IntegrityError: when a file is not the one that the package names.
    :raises ScriptFailed: when the function cannot be unpickled here.
    """
    key = codec.dumps(record)  # all of it: two model paths may hold the same function for different models
    if key not in _scorers:
        _scorers[key] = _load(record)
        while len(_scorers) > CACHED_SCORERS:
            _scorers.popitem(last=False)
    _scorers.move_to_end(key)
    return _scorers[key]


def _load(record: FunctionRecord) -> Scorer:
    _check_python(record)
    package, version = _places(record)
    verify(package, [record.pickle])
    model = local_model(version, record.alg_index, record.model_files)
    try:
        predict = pickle.loads((package / record.pickle.path).read())
    except Exception as error:
        raise ScriptFailed(
            f"function {record.function} cannot be loaded on {socket.gethostname()}: {type(error).__name__}: {error}; "
            "it needs the modules it was registered with"
        ) from error
    return RowScorer(record.function, predict, str(model), record.train_params)


def check_function(record: FunctionRecord) -> None:
    """On the driver, before Spark is asked: what :func:`load_scorer` checks on every executor, without loading anything.

    The files of a remote model are left to the executors, which have to read them anyway.
    """
    _check_python(record)
    package, version = _places(record)
    verify(package, [record.pickle])
    if version.is_local:
        verify(version, record.model_files)


def _places(record: FunctionRecord) -> tuple[Location, Location]:
    """The folders of the function's package and of its model's version."""
    root = Location.of(record.model_path)
    return function_dir(root, record.function) / str(record.function_version), layout.version_dir(root, record.version)


def _check_python(record: FunctionRecord) -> None:
    """A pickled function holds byte code, which only the same minor version of Python understands."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if record.python != here:
        raise InterpreterError(
            f"function {record.function} was registered under Python {record.python} and is called under Python {here}; "
            f"register it again with Python {here}, or run the job with Python {record.python}",
            expected=record.python,
            found=here,
        )


def local_model(version: Location, alg_index: int, files: tuple[FileEntry, ...]) -> Path:
    """The group's model in a local folder, every file checked: in place for local storage, else a copy kept per node."""
    if version.is_local:
        verify(version, files)
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
    verify(Location.of(str(cached)), files)
    return cached / folder
