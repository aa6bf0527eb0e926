"""Try a training on this machine: check the request, load the data, run the script, keep the model."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mlsql_runtime.errors import DataError, InputError, StorageError, find_nearest
from mlsql_runtime.events import ScriptEvent
from mlsql_runtime.local.data_source import FORMATS, DataSource, check_exists, check_options, find_files
from mlsql_runtime.local.request import FitReport, FitRequest, LoadedData, ModelFile, Seconds
from mlsql_runtime.plan import PATH_FORMATS, RESOURCE, PythonEnv, Train
from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.script.environments import provided_interpreter
from mlsql_runtime.script.interpreter import inspect_interpreter, is_default_interpreter
from mlsql_runtime.script.source_code import check_imports, check_syntax, required_modules
from mlsql_runtime.storage.location import Location
from mlsql_runtime.training.columns import (
    check_columns,
    check_facts,
    check_named_columns,
    find_roles,
    list_columns,
    make_signature,
)
from mlsql_runtime.training.group import DATA, MODEL, VALIDATE, Group, run_group
from mlsql_runtime.training.stratified import require_label

Log = Callable[[str], None]


def fit(request: FitRequest, log: Log, on_event: Callable[[ScriptEvent], None]) -> FitReport:
    """Train. A failure of the script is a result; any exception ends the script and its children, and removes the folders.

    :param log: called with each line about the training.
    :param on_event: called with each event of the script as it comes.
    :raises InputError: for an error in the script, the interpreter or the data; quick checks come first.
    """
    started = time.monotonic()
    bundle = check_request(request, log)
    for note in bundle.notes:
        log(note)
    statement = replace(request.statement, fit_params=(bundle.fill(request.statement.fit_params[0], "fitParam.0"),))
    request = replace(request, statement=statement)
    with _group_folder(statement.keep_local_directory) as folder:
        data = _load_data(request, bundle, folder, log)
        table, validate = data.table, data.validate
        data_seconds = time.monotonic() - started
        held_out = f", {validate.rows} to validate with" if validate else ""
        log(f"{table.rows} rows as {table.format} files{held_out} ({data_seconds:.1f} s)")
        if validate is not None and validate.rows == 0 and statement.validate_fraction is not None:
            log(f"no row of {table.rows} is held out: {statement.validate_fraction:g} of them is less than one row")
        group = Group(
            alg_index=0,
            fit_params=statement.fit_params[0],
            python=statement.python,
            model_path=request.model_dir.uri if request.model_dir else str(folder / MODEL),
            signature=data.signature,
            columns=data.columns,
        )
        result = run_group(group, bundle, folder, table, validate, on_event)
        files = _list_files(folder / MODEL) if result.is_successful else ()
        if result.is_successful and request.model_dir is not None:
            _keep_model(folder / MODEL, request.model_dir)
    is_kept = statement.keep_local_directory
    model_dir = request.model_dir.uri if request.model_dir else str(folder / MODEL) if is_kept else None
    script_seconds = (result.record.ended - result.record.started).total_seconds()
    total = time.monotonic() - started
    return FitReport(
        result=result,
        rows=table.rows,
        validate_rows=validate.rows if validate else 0,
        files=files,
        model_dir=model_dir if result.is_successful else None,
        folder=str(folder) if is_kept else None,
        seconds=Seconds(data=round(data_seconds, 3), script=round(script_seconds, 3), total=round(total, 3)),
    )


@contextlib.contextmanager
def _group_folder(is_kept: bool) -> Iterator[Path]:
    """Make the group's folder, and remove it at the end unless it is kept."""
    folder = Path(tempfile.mkdtemp(prefix="mlsql-fit-0-"))
    try:
        yield folder
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)


def _keep_model(model: Path, place: Location) -> None:
    """Copy a model to where it was asked for; if the storage refuses, leave it in a folder that the error names."""
    try:
        place.upload(model)
    except StorageError as error:
        kept = Path(tempfile.mkdtemp(prefix="mlsql-fit-model-")) / model.name
        shutil.move(model, kept)
        raise StorageError(f"{error.message}; the model is in {kept}", path=str(kept)) from error


def _list_files(model: Path) -> tuple[ModelFile, ...]:
    paths = sorted(path for path in model.rglob("*") if path.is_file())
    return tuple(ModelFile(path=path.relative_to(model).as_posix(), size=path.stat().st_size) for path in paths)


# -- checks


def check_request(request: FitRequest, log: Log) -> ScriptBundle:
    """Check everything that can be checked before data are read, and return the script.

    :param log: called with each line of an environment's build.
    :raises InputError: for the first problem.
    """
    statement = request.statement
    bundle = read_bundle(statement.script_path, statement.tag)
    if is_default_interpreter(statement.python):
        check_syntax(bundle, statement.script_path)
    check_imports(bundle, statement.script_path)
    _check_model_dir(request.model_dir)
    _check_resources(statement)
    for source in (request.data, request.validate):
        if source is not None:
            _check_source(source, request.loads_with_spark, request.use_spark)
    _check_interpreter(statement.python, bundle, log)
    return bundle


def _check_interpreter(python: PythonEnv, bundle: ScriptBundle, log: Log) -> None:
    """Raise when the interpreter lacks a module. The one of this command is not checked: the script's own error says it."""
    if is_default_interpreter(python) and not python.flags and python.requirements is None:
        return
    modules, host = required_modules(bundle), socket.gethostname()
    with provided_interpreter(python, log) as path:
        inspect_interpreter(python, host, modules, path).raise_for_missing(modules, host, python)


def _check_source(source: DataSource, with_spark: bool, is_asked_for: bool) -> None:
    near = find_nearest(source.format, FORMATS) if source.needs_spark and source.format not in PATH_FORMATS else None
    if near is not None and not is_asked_for:
        raise InputError(
            f"{source.what}: no format is called '{source.format}'; did you mean '{near}'? "
            "If Spark has a data source of this name, add --spark",
            format=source.format,
        )
    if with_spark:
        check_exists(source)
    else:
        check_options(source)
        find_files(source)


def _check_model_dir(place: Location | None) -> None:
    if place is None:
        return
    if place.is_file() or place.list_names():
        raise InputError(f"--model-dir {place.uri} exists and is not empty; name another folder, or empty it", path=place.uri)
    probe, is_there = place / "mlsql-probe", place.exists()
    try:  # a refusal must come before the training, not after it
        probe.write(b"")
        probe.remove_file()
    except StorageError as error:
        raise InputError(f"--model-dir {place.uri}: no file can be written there; {error.message}", path=place.uri) from error
    if not is_there:
        place.remove_if_empty()


def _check_resources(statement: Train) -> None:
    for key, uri in statement.fit_params[0].items():
        if key.startswith(RESOURCE) and not Location.of(uri).exists():
            raise InputError(f"--fit-param {key}={uri}: there is nothing there; check the path", path=uri)


# -- data


def _load_data(request: FitRequest, bundle: ScriptBundle, folder: Path, log: Log) -> LoadedData:
    """Return the training and the validation data, as files in ``folder``."""
    if not request.loads_with_spark:
        return _load_without_spark(request, bundle, folder, log)
    from mlsql_runtime.local.spark_loader import load_with_spark

    for need in request.list_spark_needs()[:1]:
        log(f"{need} needs Spark: starting a local session, which takes some seconds")
    stage = Path(tempfile.mkdtemp(prefix="mlsql-spark-"))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # a job's own steps print there; our standard output may be a document
            return load_with_spark(request, bundle, folder, stage)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextlib.contextmanager
def _advice_on(source: DataSource, columns: Sequence[str]) -> Iterator[None]:
    """Add to the error of a column that is missing which option of the source may be."""
    from mlsql_runtime.local.csv_files import find_advice

    try:
        yield
    except DataError as error:
        error.message += find_advice(source, columns)
        raise


def _load_without_spark(request: FitRequest, bundle: ScriptBundle, folder: Path, log: Log) -> LoadedData:
    from mlsql_runtime.local.arrow_tables import hold_out, measure, read_table, write_table

    statement = request.statement

    def choose(names: Sequence[str]) -> Sequence[str]:
        if not names:  # of an empty file
            return ()
        with _advice_on(request.data, names):
            check_columns(statement, bundle, names)
        return list_columns(statement, find_roles(statement, names))

    def choose_for_validation(names: Sequence[str]) -> Sequence[str]:
        with _advice_on(request.validate or request.data, names):
            check_named_columns(statement, "the validation table", names)
        return list_columns(statement, find_roles(statement, names))

    table = read_table(request.data, choose)
    if request.data.format == "csv" and not request.data.flag("inferSchema"):
        log("all columns of the CSV file are text; --option inferSchema=true reads numbers as numbers")
    rows = table.num_rows
    if rows == 0:
        raise DataError(f"{request.data.path} is empty: there is nothing to train on", path=request.data.path)
    roles = find_roles(statement, table.column_names)
    columns = list_columns(statement, roles)
    validate = None if request.validate is None else read_table(request.validate, choose_for_validation)
    if validate is not None and columns:
        validate = validate.rename_columns(list(columns))
    tables = {"the training table": measure(table, roles)}
    if validate is not None:
        tables["the validation table"] = measure(validate, find_roles(statement, validate.column_names))
    check_facts(statement, bundle, tables)
    signature = make_signature(statement, tables["the training table"])
    if statement.validate_fraction is not None:
        label = require_label(statement, roles.label) if statement.stratify else None
        table, validate = hold_out(table, statement.validate_fraction, label)
        if table.num_rows == 0:
            raise DataError(f"{request.data.path}: all its {rows} rows are held out: there is nothing to train on")
    return LoadedData(
        table=write_table(table, folder / DATA, request.data_format),
        validate=None if validate is None else write_table(validate, folder / VALIDATE, "parquet"),
        signature=signature,
        columns=columns,
    )
