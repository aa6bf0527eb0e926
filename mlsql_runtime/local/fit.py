"""Check a request, bring its data, run its script, keep its model."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mlsql_runtime.errors import DataError, InputError, PreflightFailed
from mlsql_runtime.events import ScriptEvent
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.local.data_source import DataSource, check_options, check_there, find_files
from mlsql_runtime.local.request import FitReport, FitRequest, ModelFile, Seconds
from mlsql_runtime.plan import RESOURCE, FileFeed, PythonEnv, Train
from mlsql_runtime.script.bundle import ScriptBundle, check_syntax, read_bundle
from mlsql_runtime.script.environments import provided_interpreter
from mlsql_runtime.script.imports import NO_FEED, describe_missing, required_modules
from mlsql_runtime.script.interpreter import inspect_interpreter, is_default_interpreter
from mlsql_runtime.storage.location import Location
from mlsql_runtime.training.columns import check_columns, feature_column
from mlsql_runtime.training.group import DATA, MODEL, VALIDATE, Group, GroupResult, run_group

Log = Callable[[str], None]


@dataclass(frozen=True)
class _Brought:
    table: TableFiles
    validate: TableFiles | None

    @property
    def validate_rows(self) -> int:
        return self.validate.rows if self.validate else 0


def fit(request: FitRequest, log: Log, on_event: Callable[[ScriptEvent], None]) -> FitReport:
    """Do it. A script's failure is an answer. An exception, KeyboardInterrupt too, ends the script, its children and the folders.

    :param log: called with our own lines; ``on_event`` with the events of the script, as they come.
    :raises InputError: for what is wrong with script, interpreter or data, the quickest to find first.
    """
    begun = time.monotonic()
    bundle = check(request, log)
    for note in bundle.notes:
        log(note)
    statement = replace(request.statement, fit_params=(bundle.fill(request.statement.fit_params[0], "fitParam.0"),))
    request = replace(request, statement=statement)
    with _folder(statement.keep_local_directory) as folder:
        brought = _bring(request, bundle, folder, log)
        data_seconds = time.monotonic() - begun
        held_out = f", {brought.validate_rows} to validate with" if brought.validate else ""
        log(f"{brought.table.rows} rows as {brought.table.format} files{held_out} ({data_seconds:.1f} s)")
        group = Group(alg_index=0, fit_params=statement.fit_params[0], python=statement.python)
        end = run_group(group, bundle, folder, brought.table, brought.validate, on_event)
        report = _report(request, brought, end, folder)
        if end.record.status == "success" and request.model_dir is not None:
            request.model_dir.upload(folder / MODEL)
        script_seconds = (end.record.ended - end.record.started).total_seconds()
    seconds = Seconds(data=round(data_seconds, 3), script=round(script_seconds, 3), total=round(time.monotonic() - begun, 3))
    return replace(report, seconds=seconds)


def check(request: FitRequest, log: Log) -> ScriptBundle:
    """What can be known before any data are read.

    :param log: takes what there is to see while an environment is built.
    :raises InputError: the first thing found wrong.
    """
    statement = request.statement
    bundle = read_bundle(statement.script_path, statement.tag)
    if is_default_interpreter(statement.python):
        check_syntax(bundle, statement.script_path)
    _check_model_dir(request.model_dir)
    _check_resources(statement)
    for source in (request.data, request.validate):
        if source is not None:
            _check_source(source, request.use_spark)
    _check_interpreter(statement.python, bundle, log)
    return bundle


def _check_interpreter(python: PythonEnv, bundle: ScriptBundle, log: Log) -> None:
    """Of the one that runs this command, the script itself tells what it lacks."""
    if is_default_interpreter(python) and not python.flags and python.requirements is None:
        return
    modules, host = required_modules(bundle, NO_FEED), socket.gethostname()
    with provided_interpreter(python, log) as path:
        found = inspect_interpreter(python, host, modules, path)
    if found.missing:
        raise PreflightFailed(describe_missing(found, modules, host, python), host=host)


def _check_source(source: DataSource, use_spark: bool) -> None:
    if use_spark:
        check_there(source)
    else:
        check_options(source)
        find_files(source)


def _check_model_dir(place: Location | None) -> None:
    if place is not None and (place.is_file() or place.list_names()):
        raise InputError(f"--model-dir {place.uri} exists and is not empty; name another folder, or empty it", path=place.uri)


def _check_resources(statement: Train) -> None:
    for key, uri in statement.fit_params[0].items():
        if key.startswith(RESOURCE) and not Location.of(uri).exists():
            raise InputError(f"--fit-param {key}={uri}: there is nothing there; check the path", path=uri)


# -- data


def _bring(request: FitRequest, bundle: ScriptBundle, folder: Path, log: Log) -> _Brought:
    if not request.use_spark:
        return _bring_local(request, bundle, folder, log)
    from mlsql_runtime.local.spark_loader import load_with_spark

    if request.data.needs_spark:
        log(f"{request.data.format} needs Spark: starting a local session, which takes some seconds")
    stage = Path(tempfile.mkdtemp(prefix="mlsql-spark-"))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # its steps say what they do, and standard output may be a document
            return _Brought(*load_with_spark(request, bundle, folder, stage))
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _bring_local(request: FitRequest, bundle: ScriptBundle, folder: Path, log: Log) -> _Brought:
    from mlsql_runtime.local.arrow_tables import check_width, hold_out, read_table, write_table

    statement = request.statement
    table = read_table(request.data)
    rows = table.num_rows
    if rows == 0:
        raise DataError(f"{request.data.path} is empty: there is nothing to train on", path=request.data.path)
    check_columns(statement, bundle, table.column_names)
    check_width(table, feature_column(statement, table.column_names))
    validate = None if request.validate is None else read_table(request.validate)
    if statement.validate_fraction is not None:
        table, validate = hold_out(table, statement.validate_fraction)
        if table.num_rows == 0:
            raise DataError(f"{request.data.path}: all its {rows} rows are held out: there is nothing to train on")
    assert isinstance(statement.feed, FileFeed)
    return _Brought(
        write_table(table, folder / DATA, statement.feed.format),
        None if validate is None else write_table(validate, folder / VALIDATE, "parquet"),
    )


# -- the end


def _report(request: FitRequest, brought: _Brought, end: GroupResult, folder: Path) -> FitReport:
    record, model = end.record, folder / MODEL
    is_kept = request.statement.keep_local_directory
    succeeded = record.status == "success"
    paths = sorted(path for path in model.rglob("*") if path.is_file()) if succeeded else []
    files = tuple(ModelFile(path=path.relative_to(model).as_posix(), size=path.stat().st_size) for path in paths)
    kept_model = request.model_dir.uri if request.model_dir else str(model) if is_kept else None
    return FitReport(
        status=record.status,
        score=record.score,
        metrics=record.metrics,
        message=record.message,
        rows=brought.table.rows,
        validate_rows=brought.validate_rows,
        files=files,
        model_dir=kept_model if succeeded else None,
        folder=str(folder) if is_kept else None,
        seconds=Seconds(data=0, script=0, total=0),
        tail=() if succeeded else end.tail,
    )


@contextlib.contextmanager
def _folder(is_kept: bool) -> Iterator[Path]:
    """The group's folder; it goes with the block, unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="mlsql-fit-0-"))
    try:
        yield folder
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)
