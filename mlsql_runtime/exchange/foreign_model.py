"""A model that was made elsewhere: an MLflow model, a pickle or a joblib file, with all that is known about it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from mlsql_runtime.errors import InputError
from mlsql_runtime.exchange import pyfunc
from mlsql_runtime.exchange.mlflow_client import import_mlflow
from mlsql_runtime.exchange.mlmodel import MLMODEL, read_example, read_mlmodel, read_packages
from mlsql_runtime.plan.python_env import hide_passwords
from mlsql_runtime.storage.location import Location
from mlsql_runtime.storage.relative_paths import check_plain
from mlsql_runtime.storage.zip_files import read_zip
from mlsql_runtime.store import layout
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.manifest import ImportFormat, ScriptFacts, load
from mlsql_runtime.store.project_files import MAX_BYTES
from mlsql_runtime.store.signature import Signature

_URI = re.compile(r"(models|runs|mlflow-artifacts):/.*")  # of MLflow's own
_JOBLIB = (".joblib", ".joblib.gz", ".joblib.z", ".jl")
_PICKLE_START, _ZIP_START = b"\x80", b"PK"
_CHUNK = 1 << 20
MAX_FILES = 10_000


@dataclass(frozen=True, kw_only=True)
class ForeignModel:
    """A model to import.

    :param format: what it is.
    :param source: the path or URI that was named, without passwords.
    :param files: the files of the model by their paths in the version.
    :param script: what made the model, or its file.
    :param samples: rows to try functions on.
    :param project: a zip of the script with its project, for an exported version that kept them.
    :param packages: those of the training, with versions.
    :param facts: what else it says about itself.
    :param notes: what is worth knowing, for people.
    """

    format: ImportFormat
    source: str
    files: Mapping[str, Path]
    script: ScriptFacts
    signature: Signature | None = None
    width: int | None = None
    samples: pa.Table | None = None
    project: bytes | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    score: float | None = None
    greater_is_better: bool | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@contextmanager
def open_foreign_model(source: str) -> Iterator[ForeignModel]:
    """Read a model: a folder with an ``MLmodel``, a pickle, a joblib file, or a URI of MLflow such as ``models:/spam/3``.

    Nothing of it is run. A model from a URI is on this machine until the end of the block.

    :raises InputError: when there is no model, or its folder has links or paths that lead out of it.
    """
    with ExitStack() as stack:
        place = _localize(source, stack)
        name = hide_passwords(source if _URI.fullmatch(source) else Location.of(source).uri)
        yield _read_folder(place, name) if place.is_dir() else _read_file(place, name)


def _localize(source: str, stack: ExitStack) -> Path:
    """Return the local file or folder of a model."""
    if _URI.fullmatch(source):
        mlflow = import_mlflow(f"importing {source}")
        folder = stack.enter_context(TemporaryDirectory(prefix="mlsql-import-"))
        try:
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=folder))
        except Exception as error:
            raise InputError(f"{source} cannot be fetched: {' '.join(str(error).split())[:500]}", path=source) from error
    place = Location.of(source)
    if not place.exists():
        raise InputError(f"there is no model at {place.uri}; expected an MLflow model, a pickle or a joblib file", path=place.uri)
    if place.is_local:
        return Path(place.path)
    folder = stack.enter_context(TemporaryDirectory(prefix="mlsql-import-"))
    place.download(Path(folder))
    return Path(folder) / place.name if place.is_file() else Path(folder)


def _read_file(place: Path, source: str) -> ForeignModel:
    """Read a pickle, or a joblib file, whose name says so."""
    check_regular(place)
    with place.open("rb") as file:
        start = file.read(2)
    is_joblib = place.name.lower().endswith(_JOBLIB)
    if not is_joblib and not start.startswith(_PICKLE_START):
        hint = "a zip, such as a Keras model or a checkpoint" if start == _ZIP_START else "something else"
        raise InputError(
            f"{place} is {hint}; expected an MLflow model (a folder with {MLMODEL}), a pickle, or a joblib file with the ending "
            f"{_JOBLIB[0]}",
            path=str(place),
        )
    name = layout.IMPORTED_JOBLIB if is_joblib else layout.IMPORTED_PICKLE
    files = {name: place}
    return ForeignModel(
        format="joblib" if is_joblib else "pickle",
        source=source,
        files=files,
        script=ScriptFacts(name=place.name, sha256=_digest(files)),
    )


def _read_folder(folder: Path, source: str) -> ForeignModel:
    if not (folder / MLMODEL).exists():
        raise InputError(
            f"{folder} is a folder without {MLMODEL}; expected an MLflow model, or the path of a pickle or a joblib file",
            path=str(folder),
        )
    files = {name: folder / name for name in _list_files(folder)}
    model = read_mlmodel(folder)
    function = model.flavors.get("python_function", {})
    if function.get("loader_module") == pyfunc.__name__:
        return _read_exported(folder / check_plain(str(function.get("data")), f"{folder / MLMODEL}: data"), source)
    return ForeignModel(
        format="mlflow",
        source=source,
        files=files,
        script=ScriptFacts(name=f"{MLMODEL} ({', '.join(sorted(model.flavors))})", sha256=_digest(files)),
        signature=model.signature,
        width=model.width,
        samples=read_example(folder, model),
        packages=read_packages(folder, model),
        facts=model.facts,
        notes=model.notes,
    )


def _read_exported(data: Path, source: str) -> ForeignModel:
    """Read a model that was exported from a model path: its own files, as the training wrote them."""
    place = data / pyfunc.RECORD
    try:
        record = load(FunctionRecord, place.read_bytes(), str(place))
    except OSError as error:
        raise InputError(f"{place} cannot be read: {error.strerror or error}", path=str(place)) from error
    prefix = layout.model_dir(record.alg_index) + "/"
    for entry in record.model_files:
        pyfunc.check_file(data, entry)
    model = {entry.path.removeprefix(prefix): data / entry.path for entry in record.model_files}
    return ForeignModel(
        format="mlflow",
        source=source,
        files=model,
        script=record.script,
        signature=record.signature,
        width=record.feature_width,
        samples=_read_kept_samples(data / pyfunc.SAMPLES),
        project=_read_project(data / pyfunc.PROJECT),
        packages=record.packages,
        score=record.score,
        greater_is_better=record.greater_is_better,
        facts={"model_path": hide_passwords(record.model_path), "version": str(record.version), "group": str(record.alg_index)},
    )


def _read_kept_samples(place: Path) -> pa.Table | None:
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(io.BytesIO(place.read_bytes())).read()
    except (OSError, pa.ArrowException, ValueError):
        return None


def _read_project(place: Path) -> bytes | None:
    """Return the zip of a project, after a look at each of its entries.

    :raises InputError: when it is not one that a training has kept.
    """
    if not place.exists():
        return None
    content = place.read_bytes()
    read_zip(content, str(place), MAX_BYTES, is_kept=True)
    return content


# -- files


def _list_files(folder: Path) -> Iterator[str]:
    """Yield the relative paths of a folder's files, without bytecode.

    :raises InputError: for a link, or a file that is not a regular one.
    """
    check_regular(folder, is_folder=True)
    count = 0
    for where, folders, names in os.walk(folder, onerror=_refuse_unreadable):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in folders:
            check_regular(Path(where, name), is_folder=True)
        for name in sorted(names):
            place = Path(where, name)
            check_regular(place)
            count += 1
            if count > MAX_FILES:
                raise InputError(f"{folder} has more than {MAX_FILES} files; is it a model?", path=str(folder))
            yield check_plain(place.relative_to(folder).as_posix(), str(folder))


def _refuse_unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be listed: {error.strerror}", path=str(error.filename)) from error


def check_regular(place: Path, is_folder: bool = False) -> None:
    """Check that a place is a regular file or a folder itself, and not a link to one.

    :raises InputError: when it is not.
    """
    try:
        mode = place.lstat().st_mode
    except OSError as error:
        raise InputError(f"{place} cannot be read: {error.strerror}", path=str(place)) from error
    if not (stat.S_ISDIR(mode) if is_folder else stat.S_ISREG(mode)):
        what = "a link" if stat.S_ISLNK(mode) else "not a regular file"
        raise InputError(f"{place} is {what}; put the file itself there", path=str(place))


def _digest(files: Mapping[str, Path]) -> str:
    """Return a digest over the names and contents of files."""
    digest = hashlib.sha256()
    for name, place in sorted(files.items()):
        digest.update(f"{name}\0{place.stat().st_size}\0".encode())
        for part in _read_parts(place):
            digest.update(part)
    return digest.hexdigest()


def _read_parts(place: Path) -> Iterator[bytes]:
    with place.open("rb") as file:
        while part := file.read(_CHUNK):
            yield part
