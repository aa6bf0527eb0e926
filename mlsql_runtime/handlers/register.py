"""register: make a function from a predict script and a version, try it, then point the name at it."""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlsql_runtime import codec
from mlsql_runtime.errors import DataError, InputError, ScriptFailed
from mlsql_runtime.events import emit, log
from mlsql_runtime.feed.decoding.vectors import from_serialized
from mlsql_runtime.feed.table_facts import quote_column
from mlsql_runtime.handlers.compare_predictions import first_difference
from mlsql_runtime.handlers.gates import Candidate, Verdict, judge
from mlsql_runtime.handlers.library_versions import installed, tell_other_versions
from mlsql_runtime.plan import PythonEnv, Register
from mlsql_runtime.preflight.hosts import check_function_hosts
from mlsql_runtime.result import RegisterResult
from mlsql_runtime.scoring.function_loader import LoadedFunction, load_function
from mlsql_runtime.scoring.udf import make_udf, register_function
from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.script.process import run_script, scratch_dir
from mlsql_runtime.script.protocol import PROTOCOL_VERSION, Handover, ScriptInput, handover_file
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions, layout
from mlsql_runtime.store.function_records import Contract, FunctionRecord, Refusal
from mlsql_runtime.store.functions import add_refusal
from mlsql_runtime.store.manifest import FORMAT_VERSION, FileEntry, Manifest
from mlsql_runtime.store.verification import verify_files
from mlsql_runtime.store.versions import choose_fit, open_model_path, read_manifest

if TYPE_CHECKING:
    from pyspark.ml.linalg import Vector

    from mlsql_runtime.run_context import RunContext

TRY_ROWS = 5
_CONTRACTS: Mapping[Contract, str] = {
    "row": "row contract: one row at a time (python_fun.batch_udf would answer many at once)",
    "batch": "batch contract",
}


@dataclass(frozen=True)
class _Model:
    """The version and group that the function will answer for."""

    root: Location
    manifest: Manifest
    alg_index: int

    @property
    def score(self) -> float | None:
        fit = self.manifest.fit(self.alg_index)
        return fit.score if fit else None

    @property
    def packages(self) -> Mapping[str, str]:
        fit = self.manifest.fit(self.alg_index)
        return fit.packages if fit else {}

    @property
    def files(self) -> tuple[FileEntry, ...]:
        return self.manifest.files_below(layout.model_dir(self.alg_index))

    @property
    def folder(self) -> Location:
        return layout.version_dir(self.root, self.manifest.version)


def register(statement: Register, context: RunContext) -> RegisterResult:
    """Register, or refuse with a reason and leave the current function as it is.

    :raises VersionNotFound: when there is no such version or group.
    :raises IntegrityError: when a model file is not the one the manifest names.
    :raises ScriptFailed: when the script or the function fails; nothing is left.
    """
    root = open_model_path(statement.model_path)
    manifest = read_manifest(root, statement.model_version or context.trained.get(root.uri))
    model = _Model(root, manifest, choose_fit(manifest, statement.alg_index, root.uri))
    verdict = _judge(statement, context, model)
    if not verdict.passed:
        return _refuse(statement, context, model, str(verdict.reason))
    bundle = read_bundle(statement.script_path, statement.tag)
    check_function_hosts(context, bundle)
    tell_other_versions(f"function {statement.function}", model.packages, installed(context) if model.packages else ())
    function = _hand_over(statement, bundle)
    record = functions.write_package(
        root,
        statement.function,
        function.pickled,
        lambda number, entry: _record(statement, context, model, bundle, function.contract, number, entry),
    )
    try:
        _try(statement, context, model, record)
        read_manifest(root, manifest.version)  # still there: another training may have removed old versions meanwhile
    except BaseException:
        functions.remove_package(root, record)
        raise
    functions.set_current(root, record, statement.author, verdict.reason)
    register_function(context.spark, statement.function, record)
    log(
        f"register: {statement.function} is function version {record.function_version}: model version {manifest.version}, "
        f"group {model.alg_index}, score {model.score}, {_CONTRACTS[record.contract]}"
        + (f"; {verdict.reason}" if verdict.reason else "")
    )
    return _result(statement, model, None, record.function_version)


def _result(statement: Register, model: _Model, reason: str | None, function_version: int | None) -> RegisterResult:
    return RegisterResult(
        function=statement.function,
        registered=reason is None,
        reason=reason,
        model_path=model.root.uri,
        version=model.manifest.version,
        alg_index=model.alg_index,
        score=model.score,
        function_version=function_version,
    )


def _judge(statement: Register, context: RunContext, model: _Model) -> Verdict:
    """Whether the model is good enough for the name, beside what the name means now."""
    pointer = functions.read_pointer(model.root, statement.function)
    candidate = Candidate(
        version=model.manifest.version,
        alg_index=model.alg_index,
        score=model.score,
        greater_is_better=model.manifest.greater_is_better,
        job_id=context.job_id,
    )
    return judge(statement, candidate, pointer.history if pointer else ())


def _refuse(statement: Register, context: RunContext, model: _Model, reason: str) -> RegisterResult:
    """Leave the name as it is, and write down why."""
    refusal = Refusal(
        version=model.manifest.version,
        alg_index=model.alg_index,
        score=model.score,
        job_id=context.job_id,
        at=datetime.now(timezone.utc),
        by=statement.author,
        reason=reason,
    )
    add_refusal(model.root, statement.function, refusal)
    log(f"register: {statement.function} is left as it is: {reason}")
    return _result(statement, model, reason, None)


@dataclass(frozen=True)
class _Function:
    """What the predict script handed over."""

    pickled: bytes
    contract: Contract


def _hand_over(statement: Register, bundle: ScriptBundle) -> _Function:
    """Run the predict script on the driver; the function that it hands to ``python_fun``."""
    with tempfile.TemporaryDirectory(prefix="mlsql-register-", dir=scratch_dir()) as name:
        folder = Path(name)
        target = folder / "function.pickle"
        script_input = ScriptInput(
            protocol_version=PROTOCOL_VERSION,
            role="register",
            params={
                "fitParam": bundle.fill(statement.params, "fitParam.0"),
                "kafkaParam": {},
                "internalSystemParam": {},
                "systemParam": {},
            },
            function_file=str(target),
        )
        outcome = run_script(
            bundle, script_input, folder, folder / "log", PythonEnv(), lambda event: emit(event, f"register {statement.function}")
        )
        if outcome.problem:
            raise ScriptFailed(f"the predict script {statement.script_path} failed: {outcome.problem}", tail=list(outcome.tail))
        if not target.exists():
            raise InputError(
                f"the predict script {statement.script_path} ended without handing a function over; "
                "call python_fun.batch_udf(predict_batch) or python_fun.udf(predict) at its end",
                path=statement.script_path,
            )
        handover = codec.loads(
            Handover, Path(handover_file(str(target))).read_bytes(), f"what {statement.script_path} handed over"
        )
        return _Function(target.read_bytes(), handover.contract)


def _record(
    statement: Register,
    context: RunContext,
    model: _Model,
    bundle: ScriptBundle,
    contract: Contract,
    number: int,
    file: FileEntry,
) -> FunctionRecord:
    fit = model.manifest.fit(model.alg_index)
    return FunctionRecord(
        format_version=FORMAT_VERSION,
        function=statement.function,
        function_version=number,
        created=datetime.now(timezone.utc),
        job_id=context.job_id,
        contract=contract,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        pickle=file,
        script=bundle.facts,
        model_path=model.root.uri,
        version=model.manifest.version,
        alg_index=model.alg_index,
        score=model.score,
        feature_width=model.manifest.data.feature_width,
        train_params=dict(fit.params) if fit and statement.copy_train_params else None,
        model_files=model.files,
        packages=model.packages,
    )


def _try(statement: Register, context: RunContext, model: _Model, record: FunctionRecord) -> None:
    """Call the function on sample rows, here and through Spark, and one by one; it must always answer the same."""
    from pyspark.ml.linalg import VectorUDT
    from pyspark.sql.types import StructField, StructType

    rows = _samples(statement, context, model)
    if not rows:
        verify_files(model.folder, model.files)  # which loading would do
        log(f"register: {statement.function} could not be tried: there are no sample rows of features")
        return
    vectors = from_serialized([VectorUDT().serialize(row) for row in rows])
    function = load_function(record)
    here = function.score(0, vectors)
    _check_alone(function, vectors, here)
    table = context.spark.createDataFrame([(row,) for row in rows], StructType([StructField("features", VectorUDT())]))
    answers = table.select(make_udf(record)("features").alias("answer")).collect()
    there = from_serialized([None if row.answer is None else VectorUDT().serialize(row.answer) for row in answers])
    if (row := first_difference(here, there)) is not None:
        raise ScriptFailed(
            f"function {record.function} answers differently on the driver and in Spark for the same {len(rows)} rows: "
            f"{here[row]} and {there[row]}; a function must depend on nothing but its row and its model"
        )


def _check_alone(function: LoadedFunction, vectors: pa.StructArray, together: pa.StructArray) -> None:
    """Spark puts rows together as it likes, so the answer for one must not hang on the others of its batch."""
    if function.record.contract == "row":
        return
    alone = pa.concat_arrays([function.score(0, vectors.slice(row, 1)) for row in range(len(vectors))])
    if (row := first_difference(together, alone)) is not None:
        raise ScriptFailed(
            f"function {function.record.function} answers a row differently alone and among {len(vectors)} rows: "
            f"{alone[row]} and {together[row]}; it must answer each row by itself"
        )


def _samples(statement: Register, context: RunContext, model: _Model) -> list[Vector]:
    """A few feature vectors: of the table named for it, else those kept with the version."""
    column = model.manifest.data.feature_column or "features"
    if statement.sample_table is not None:
        table = context.table(statement.sample_table)
        if column not in table.columns:
            raise DataError(
                f"the sample table '{statement.sample_table}' has no column '{column}'; it has {', '.join(table.columns)}"
            )
        name = quote_column(column)
        return [row[0] for row in table.filter(f"{name} is not null").select(name).limit(TRY_ROWS).collect()]
    place = model.folder / layout.SAMPLES
    if not place.exists():
        return []
    import pyarrow.parquet as pq

    from mlsql_runtime.feed.decoding.rows import to_rows

    kept: list[dict[str, Any]] = to_rows(pq.read_table(io.BytesIO(place.read())))
    return [row[column] for row in kept if row[column] is not None]
