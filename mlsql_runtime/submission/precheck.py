"""Check a plan before Spark starts, with the help of storage and brokers, but without pyspark."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import shutil
import socket
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

from mlsql_runtime.errors import InputError, MLSQLError, StorageError
from mlsql_runtime.kafka.run_topic import Owner, check_topic, client_settings
from mlsql_runtime.plan import (
    NO_ACCESS,
    Outline,
    Plan,
    PythonEnv,
    ScriptUse,
    Secrets,
    Statement,
    StorageAccess,
    TopicUse,
    check_property,
)
from mlsql_runtime.scoring.spark_functions import check_name
from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.script.interpreter import inspect_interpreter, is_default_interpreter
from mlsql_runtime.script.kept_project import find_script, read_script
from mlsql_runtime.script.source_code import check_imports, check_syntax, required_modules
from mlsql_runtime.spark_versions import check_installation, find_release
from mlsql_runtime.storage.file_systems import check_promises
from mlsql_runtime.storage.location import Location
from mlsql_runtime.storage.patterns import find_paths
from mlsql_runtime.store.functions import read_function
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.versions import choose_fit, open_model_path, read_manifest


def check_job(plan: Plan, secrets: Secrets, conf: Mapping[str, str], *, is_local: bool, needs_spark: bool = True) -> None:
    """Check all that can be checked before Spark starts: Spark properties, Java and Spark, and each statement
    of the plan.

    :param is_local: whether executors are this machine, so that data and interpreters here are theirs.
    :raises MLSQLError: the first problem; of a statement, with its number.
    """
    for name, value in conf.items():
        check_property(name, value)
    if needs_spark and not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        raise InputError("there is no Java on this machine; install Java 17 or newer, or set JAVA_HOME")
    check_installation()
    for error in find_problems(plan, secrets, is_local=is_local):
        raise error


def find_problems(plan: Plan, secrets: Secrets, *, is_local: bool) -> Iterator[MLSQLError]:
    """Yield the first problem of each statement: its tables, models, functions, script, interpreter, data and topic, as far as
    no statement before it makes them.
    """
    made = _Made(secrets.storage)
    for index, statement in enumerate(plan.statements):
        try:
            _check(statement, plan.job_id, is_local, secrets, made)
        except MLSQLError as error:
            error.statement = index
            yield error
        with contextlib.suppress(MLSQLError):  # of a path that no check has passed
            made.add(statement.outline)  # also after a problem, which is not a problem of the statements after it


@dataclass
class _Made:
    """The tables, models, functions (model path and name) and files that the statements so far make.

    ``models`` are the scripts that train them, by model path; ``access`` are the job's connections to storage.
    """

    access: StorageAccess = NO_ACCESS
    tables: set[str] = field(default_factory=set)
    models: dict[str, ScriptUse] = field(default_factory=dict)
    functions: set[tuple[str, str]] = field(default_factory=set)
    files: set[str] = field(default_factory=set)

    def add(self, outline: Outline) -> None:
        if outline.defines is not None:
            self.tables.add(outline.defines)
        if outline.writes_files is not None:
            self.files.add(outline.writes_files.rstrip("/"))
        if outline.model_root is None:
            return
        root = Location.of(outline.model_root, self.access).uri
        if outline.makes_version and outline.script is not None:
            self.models[root] = outline.script
        if outline.makes_function is not None:
            self.functions.add((root, outline.makes_function))

    def has_file(self, path: str) -> bool:
        """Return whether a statement saves to the path or to a folder above it."""
        return any(f"{path.rstrip('/')}/".startswith(f"{saved}/") for saved in self.files)


def _check(statement: Statement, job_id: str, is_local: bool, secrets: Secrets, made: _Made) -> None:
    outline = statement.outline
    for name in outline.reads:
        if name not in made.tables:
            raise InputError(
                f"{statement.tag}: there is no table '{name}'; tables before it are {', '.join(sorted(made.tables)) or 'none'}"
            )
    if outline.makes_function is not None and is_local and (release := find_release()) is not None:
        check_name(outline.makes_function, release)
    manifest = _check_models(outline, made)
    if outline.script is not None and outline.script.is_run:
        _check_script(outline.script, *_find_script(outline, outline.script, manifest, made), is_local)
    if outline.reads_files is not None and is_local and not made.has_file(outline.reads_files):
        _check_data(f"table '{outline.defines}'", outline.reads_files)
    _check_resources(outline.resources, is_local, secrets.storage)
    if outline.topic is not None:
        _check_topic(outline.topic, job_id, secrets)


def _check_models(outline: Outline, made: _Made) -> Manifest | None:
    """Check the functions and the trained model that a statement needs; return the manifest of a model that exists already."""
    for ref in outline.needs_functions:
        root = open_model_path(ref.model_path, made.access)
        if (root.uri, ref.function) not in made.functions:
            read_function(root, ref.function, ref.function_version)
    if outline.model_root is None:
        return None
    if outline.makes_version or outline.makes_function or outline.stages_files:
        check_promises(outline.model_root)
    root = open_model_path(outline.model_root, made.access)
    if outline.needs_fit is None or root.uri in made.models:
        return None
    manifest = read_manifest(root, outline.needs_fit.version)
    choose_fit(manifest, outline.needs_fit.alg_index, root.uri)
    return manifest


def _find_script(outline: Outline, script: ScriptUse, manifest: Manifest | None, made: _Made) -> tuple[ScriptBundle, PythonEnv]:
    """Return the script of a statement, and the Python that it runs with; what it leaves out is that of its model's training.

    :param manifest: that of the model; None if a statement before trains it, or the statement needs none.
    """
    if outline.needs_fit is None or outline.model_root is None:
        return read_bundle(str(script.path), script.role, made.access), script.python
    root = open_model_path(outline.model_root, made.access)
    if manifest is not None:
        bundle, python = read_script(script.path, script.role, root, manifest), manifest.python
    else:
        training = made.models[root.uri]
        bundle, python = find_script(script.path, script.role, training, made.access), training.python
    return bundle, PythonEnv() if script.is_function else script.python.or_of_training(python)


def _check_script(script: ScriptUse, bundle: ScriptBundle, python: PythonEnv, is_local: bool) -> None:
    for index, params in enumerate(script.params):
        bundle.fill(params, f"fitParam.{index}")
    if is_default_interpreter(python):
        check_syntax(bundle, script.path or bundle.entry)
    check_imports(bundle, script.path or bundle.entry)
    if is_local and not python.is_unpacked and python.requirements is None:
        modules, host = required_modules(bundle), socket.gethostname()
        inspect_interpreter(python, host, modules).raise_for_missing(modules, host, python, script.is_function)
    for archive in python.archives:
        check_archive(archive)


def check_archive(archive: str) -> None:
    """Check an archive on this machine, which spark-submit copies to the others, by its first entry."""
    path = archive.partition("#")[0]
    if "://" in path and not path.startswith("file:"):
        return
    local = Location.of(path).path
    try:
        with open(local, "rb") as file:
            is_whole = zipfile.is_zipfile(file) if local.lower().endswith((".zip", ".jar")) else _begins_as_tar(file)
    except OSError as error:
        raise InputError(f"archives names {path}, which cannot be read: {error}; check the path", path=path) from error
    if not is_whole:
        raise InputError(
            f"archives names {path}, which is broken or of another kind than its name says; pack it again", path=path
        )


def _begins_as_tar(file: IO[bytes]) -> bool:
    """Return whether there is a first entry. Reading all of the file would take as long as unpacking it.

    No more than the header of the entry is unpacked: tarfile itself would read what the header says that follows.
    """
    for unpack in (gzip.open, bz2.open, lzma.open, contextlib.nullcontext):
        file.seek(0)
        try:
            with unpack(file) as stream:
                header = tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), tarfile.ENCODING, "surrogateescape")
            return header.size >= 0
        except (tarfile.TarError, lzma.LZMAError, EOFError, zlib.error, OSError, ValueError):
            continue
    return False


def _check_resources(resources: Mapping[str, str], is_local: bool, access: StorageAccess) -> None:
    for name, uri in resources.items():
        if (is_local or "://" in uri) and not Location.of(uri, access).exists():
            raise InputError(f"{name} is {uri}, which does not exist; check the path", path=uri)


def _check_topic(topic: TopicUse, job_id: str, secrets: Secrets) -> None:
    settings = client_settings(topic.feed, secrets)
    if topic.feed.reuse:
        from mlsql_runtime.feed.topic.receive import current_range  # with Arrow and NumPy, which no other check needs

        current_range(settings, topic.feed.topic)
    else:
        check_topic(topic.feed, settings, Owner(job_id, topic.model_path, topic.readers))


def _check_data(table: str, path: str) -> None:
    if "://" in path and not path.startswith("file:"):
        return
    found = find_paths(Location.of(path))
    if not found:
        raise InputError(f"{table}: there is nothing at {path}; check the path of the data", path=path)
    try:
        open(found[0].path, "rb").close()
    except IsADirectoryError:
        pass
    except OSError as error:
        raise StorageError(f"{table}: {path} cannot be read: {error}", path=path) from error
