"""The function with which an exported model predicts: one that is registered, or one that a predict script makes now."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from mlsql_runtime import codec
from mlsql_runtime.errors import InputError, ScriptNotFound, VersionNotFound
from mlsql_runtime.events import ScriptEvent
from mlsql_runtime.exchange import pyfunc
from mlsql_runtime.plan import get_builtin_name, to_builtin_path
from mlsql_runtime.plan.python_env import PythonEnv
from mlsql_runtime.scoring.arguments import Columns
from mlsql_runtime.scoring.function_record import make_record
from mlsql_runtime.scoring.group_signature import find_signature
from mlsql_runtime.scoring.return_type import read_usual_type
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.function_script import FunctionScript
from mlsql_runtime.script.kept_project import read_script
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.function_types import VECTOR
from mlsql_runtime.store.functions import FunctionPackage, function_dir, read_function, read_pointers
from mlsql_runtime.store.manifest import FileEntry, FitRecord, Manifest
from mlsql_runtime.store.verification import verify_files
from mlsql_runtime.store.versions import choose_fit, open_store, read_manifest

OnEvent = Callable[[ScriptEvent], None]
NAME = "predict"  # of a function that was never registered
_PICKLED = "model.pickle"


@dataclass(frozen=True)
class ModelChoice:
    """The version and the fit group to export."""

    root: Location
    manifest: Manifest
    fit: FitRecord

    @property
    def folder(self) -> Location:
        return layout.version_dir(self.root, self.manifest.version)

    @property
    def files(self) -> tuple[FileEntry, ...]:
        return self.manifest.files_below(layout.model_dir(self.fit.alg_index))


def choose_model(model_path: str, version: int | None, alg_index: int | None) -> ModelChoice:
    """Return a version, by default the newest complete one, and one of its groups, by default the best one.

    :raises VersionNotFound: when there is no such version or group.
    """
    root = open_store(model_path).root
    manifest = read_manifest(root, version)
    return ModelChoice(root, manifest, choose_fit(manifest, alg_index, root.uri))


def find_function(
    choice: ModelChoice, function: str | None, script_path: str | None, on_event: OnEvent | None = None
) -> tuple[FunctionRecord, bytes, str]:
    """Return the function for a model, its pickle, and a sentence about which one it is.

    :param function: the name of a registered function; None for the only one that uses the model.
    :param script_path: a predict script, or the path of a built-in one, which is run instead.
    :param on_event: called with each line that the script prints.
    :raises VersionNotFound: when no package of the function uses this model.
    :raises InputError: when several functions use it, and none is named.
    :raises ScriptFailed: when the predict script fails.
    """
    packages = () if script_path is not None else _find_packages(choice, function)
    names = sorted({package.function for package in packages})
    if len(names) > 1:
        raise InputError(f"{', '.join(names)} use this model; name the one whose predictions to export, as --function")
    if packages:
        record = read_function(choice.root, packages[0].function, packages[0].function_version)
        folder = function_dir(choice.root, record.function) / str(record.function_version)
        verify_files(folder, [record.pickle])
        said = f"function {record.function}, version {record.function_version}"
        return record, (folder / record.pickle.path).read(), said
    if function is not None:
        raise VersionNotFound(
            f"{choice.root.uri} holds no function '{function}' of version {choice.manifest.version}, group "
            f"{choice.fit.alg_index}; register it, name another version, or leave --function out"
        )
    bundle = _find_script(choice, script_path)
    record, pickled = _run_script(choice, bundle, script_path, on_event)
    return record, pickled, f"the predict script {bundle.name or bundle.entry}"


def _find_packages(choice: ModelChoice, function: str | None) -> Sequence[FunctionPackage]:
    """Return the packages of a function that use the model, current ones first; without a name the current ones of all."""
    packages = read_pointers(choice.root).packages_of(choice.manifest.version)
    of_group = [package for package in packages if package.alg_index == choice.fit.alg_index]
    return [each for each in of_group if (each.current if function is None else each.function == function)]


def _find_script(choice: ModelChoice, script_path: str | None) -> ScriptBundle:
    try:
        return read_script(script_path, "register", choice.root, choice.manifest)
    except ScriptNotFound as error:
        if script_path is not None:
            raise
        if not any(entry.path.endswith(f"/{_PICKLED}") for entry in choice.files):
            raise InputError(
                f"version {choice.manifest.version} of {choice.root.uri} has no predict script, and no function uses it; "
                "register one, or name a predict script as --script"
            ) from error
    return read_script(to_builtin_path("sklearn"), "register", choice.root, choice.manifest)


def _run_script(
    choice: ModelChoice, bundle: ScriptBundle, script_path: str | None, on_event: OnEvent | None
) -> tuple[FunctionRecord, bytes]:
    manifest, fit = choice.manifest, choice.fit
    shown = bundle.name or (Path(script_path).name if script_path and get_builtin_name(script_path) is None else bundle.entry)
    pickled, handover = FunctionScript(
        label="export",
        name=f"the predict script {shown}",
        bundle=bundle,
        python=PythonEnv(path="python").or_of_training(manifest.python),
        manifest=manifest,
        fit=fit,
        signature=find_signature(manifest, fit),
        params={},
        options={},
        access=choice.root.access,
        on_event=on_event,
    ).run()
    returns = VECTOR if handover.returns.strip().lower() == VECTOR else read_usual_type(handover.returns)
    if returns is None:
        raise InputError(f"only Spark can read the type returns={handover.returns!r}; register the function, then export it")
    record = make_record(
        manifest,
        fit,
        replace(handover, returns=returns),
        function=NAME,
        number=1,
        job_id=manifest.job_id,
        model_path=choice.root.uri,
        script=bundle.facts,
        pickle=FileEntry(path=layout.FUNCTION_PICKLE, size=len(pickled), sha256=hashlib.sha256(pickled).hexdigest()),
    )
    return record, pickled


def write_function(choice: ModelChoice, record: FunctionRecord, pickled: bytes, folder: Path) -> None:
    """Write the folder that is described in :mod:`mlsql_runtime.exchange.pyfunc`.

    :raises IntegrityError: when a file of the model is not the one that the manifest names.
    """
    verify_files(choice.folder, record.model_files)
    folder.mkdir()
    model = layout.model_dir(record.alg_index)
    (choice.folder / model).download(folder / model)
    (folder / pyfunc.PICKLE).write_bytes(pickled)
    file = replace(record.pickle, path=pyfunc.PICKLE)
    moved = replace(record, pickle=file, greater_is_better=choice.manifest.greater_is_better)
    (folder / pyfunc.RECORD).write_text(codec.dumps(moved), encoding="utf-8")
    kept = {entry.path: entry for entry in choice.manifest.files}
    for source, target in ((layout.SAMPLES, pyfunc.SAMPLES), (layout.PROJECT, pyfunc.PROJECT)):
        if source in kept:
            verify_files(choice.folder, [kept[source]])
            (folder / target).write_bytes((choice.folder / source).read())


def read_samples(folder: Path, record: FunctionRecord) -> Columns | None:
    """Return the sample rows in such a folder; None if there are none of the function's columns."""
    place = folder / pyfunc.SAMPLES
    names = record.signature.names if record.signature else ()
    if not names or not place.exists():
        return None
    import pyarrow.parquet as pq

    table: pa.Table = pq.ParquetFile(io.BytesIO(place.read_bytes())).read()
    if table.num_rows == 0 or not set(names) <= set(table.column_names):
        return None
    return Columns(names, tuple(table.column(name).combine_chunks() for name in names))
