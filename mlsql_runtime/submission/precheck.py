"""What can be known to be wrong with a plan before Spark starts. Needs storage, but no pyspark."""

from __future__ import annotations

import glob
import socket
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from mlsql_runtime.errors import InputError, MLSQLError, PreflightFailed, StorageError
from mlsql_runtime.kafka.run_topic import Owner, check_topic, settings_of
from mlsql_runtime.plan import (
    FILE_FORMATS,
    RESOURCE,
    KafkaFeed,
    Load,
    Plan,
    Predict,
    PythonEnv,
    Register,
    Save,
    Secrets,
    Select,
    Statement,
    Train,
)
from mlsql_runtime.script.bundle import ScriptBundle, check_syntax, read_bundle
from mlsql_runtime.script.imports import NO_FEED, lacks, needs
from mlsql_runtime.script.interpreter import inspect_interpreter, uses_default
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_function
from mlsql_runtime.store.versions import choose_fit, open_model_path, read_manifest


def precheck(plan: Plan, is_local: bool, secrets: Secrets) -> None:
    """Read every script, look for models, functions, interpreters and topics that statements need and do not make themselves.

    :param is_local: whether executors are this machine, so that local data and interpreters can be looked at.
    :raises MLSQLError: the first thing found wrong, with the fact ``statement``.
    """
    for error in problems(plan, is_local, secrets):
        raise error


def problems(plan: Plan, is_local: bool, secrets: Secrets) -> Iterator[MLSQLError]:
    """The first thing wrong with each statement, as :func:`precheck` looks for it."""
    made = _Made()
    for index, statement in enumerate(plan.statements):
        try:
            try:
                _check(statement, plan.job_id, is_local, secrets, made)
            finally:
                made.add(statement)  # whatever is wrong with it, what follows is not
        except MLSQLError as error:
            yield error.at(index)


@dataclass
class _Made:
    """What statements make for those after them: tables, models by path, functions by path and name, files by path."""

    tables: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)
    files: set[str] = field(default_factory=set)

    def add(self, statement: Statement) -> None:
        if isinstance(statement, (Load, Select)):
            self.tables.add(statement.table)
        elif isinstance(statement, (Train, Predict)) and statement.result is not None:
            self.tables.add(statement.result)
        if isinstance(statement, Train):
            self.models.add(Location.of(statement.model_path).uri)
        elif isinstance(statement, Register):
            self.functions.add((Location.of(statement.model_path).uri, statement.function))
        elif isinstance(statement, Save) and statement.path is not None:
            self.files.add(statement.path.rstrip("/"))

    def has_file(self, path: str) -> bool:
        """Whether a statement saves there, or to a folder above it."""
        return any(f"{path.rstrip('/')}/".startswith(f"{saved}/") for saved in self.files)


def _check(statement: Statement, job_id: str, is_local: bool, secrets: Secrets, made: _Made) -> None:
    _check_tables(statement, made.tables)
    _check_models(statement, made)
    if isinstance(statement, (Train, Register, Predict)):
        _check_script(statement, is_local)
    if isinstance(statement, Load) and is_local and statement.path is not None and not made.has_file(statement.path):
        _check_data(statement.table, statement.format, statement.path)
    if isinstance(statement, Train):
        _check_resources(statement, is_local)
        _check_kafka(statement, job_id, secrets)


def _check_tables(statement: Statement, known: set[str]) -> None:
    needed = [getattr(statement, name, None) for name in ("validate_table", "sample_table")]
    if not isinstance(statement, (Load, Select)):
        needed.append(getattr(statement, "table", None))
    for name in needed:
        if name is not None and name not in known:
            raise InputError(
                f"{statement.tag}: there is no table '{name}'; tables before it are {', '.join(sorted(known)) or 'none'}"
            )


def _check_models(statement: Statement, made: _Made) -> None:
    if isinstance(statement, Select):
        for ref in statement.functions:
            root = open_model_path(ref.model_path)
            if (root.uri, ref.function) not in made.functions:
                read_function(root, ref.function, ref.function_version)
    if isinstance(statement, (Train, Register, Predict)):
        root = open_model_path(statement.model_path)
        if not isinstance(statement, Train) and root.uri not in made.models:
            choose_fit(read_manifest(root, statement.model_version), statement.alg_index, root.uri)


def _check_script(statement: Train | Register | Predict, is_local: bool) -> None:
    bundle = read_bundle(statement.script_path, statement.tag)
    _check_parameters(statement, bundle)
    python = PythonEnv() if isinstance(statement, Register) else statement.python
    if uses_default(python):
        check_syntax(bundle, statement.script_path)
    if is_local and not python.is_unpacked and python.requirements is None:
        modules, host = needs(bundle, NO_FEED), socket.gethostname()
        found = inspect_interpreter(python, host, modules)
        if found.missing:
            is_function = isinstance(statement, Register)
            raise PreflightFailed(lacks(found, modules, host, python, is_function), host=host)
    for archive in python.archives:
        _check_archive(archive)


def _check_archive(archive: str) -> None:
    """One that is on this machine, from where spark-submit brings it to the others; whether it is whole Spark will tell."""
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
            f"archives names {path}, which cannot be unpacked: it is broken, or no such archive; pack it anew", path=path
        )


def _begins_as_tar(file: IO[bytes]) -> bool:
    """Whether there is a first entry; to read all of it would take as long as to unpack it."""
    try:
        with tarfile.open(fileobj=file) as archive:
            return archive.next() is not None
    except (tarfile.TarError, EOFError, zlib.error, OSError):
        return False


def _check_parameters(statement: Train | Register | Predict, bundle: ScriptBundle) -> None:
    """Those that the script's project asks for."""
    match statement:
        case Train():
            for index, params in enumerate(statement.fit_params):
                bundle.fill(params, f"fitParam.{index}")
        case Predict() | Register():
            bundle.fill(statement.params, "fitParam.0")


def _check_resources(statement: Train, is_local: bool) -> None:
    for index, params in enumerate(statement.fit_params):
        for key, uri in params.items():
            if key.startswith(RESOURCE) and (is_local or "://" in uri) and not Location.of(uri).exists():
                raise InputError(f"fitParam.{index}.{key} is {uri}, and there is nothing there; check the path", path=uri)


def _check_kafka(statement: Train, job_id: str, secrets: Secrets) -> None:
    feed = statement.feed
    if not isinstance(feed, KafkaFeed):
        return
    settings = settings_of(feed, secrets)
    if feed.reuse:
        from mlsql_runtime.feed.topic.receive import current_range  # with Arrow and NumPy, which no other look needs

        current_range(settings, feed.topic)
    else:
        check_topic(feed, settings, Owner(job_id, statement.model_path, len(statement.fit_params)))


def _check_data(table: str, data_format: str, path: str) -> None:
    if data_format.lower() not in FILE_FORMATS or ("://" in path and not path.startswith("file:")) or "{" in path:
        return
    local = Location.of(path).path
    candidates: Sequence[str] = glob.glob(local)
    if not candidates:
        raise InputError(f"table '{table}': there is nothing at {path}; check the path of the data", path=path)
    try:
        open(candidates[0], "rb").close()
    except IsADirectoryError:
        pass
    except OSError as error:
        raise StorageError(f"table '{table}': {path} cannot be read: {error}", path=path) from error
