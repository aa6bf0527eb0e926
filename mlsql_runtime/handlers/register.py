"""The register statement: make a function from a predict script and a model, try it, then point the name to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from mlsql_runtime.errors import InputError, MLSQLError
from mlsql_runtime.events import log
from mlsql_runtime.handlers.function_samples import find_samples
from mlsql_runtime.handlers.function_trial import try_function
from mlsql_runtime.handlers.gates import Candidate, GateResult, check_gates
from mlsql_runtime.handlers.job_lineage import record_model
from mlsql_runtime.handlers.library_versions import find_installed_versions, warn_of_other_versions
from mlsql_runtime.handlers.mlflow_tracking import track_function
from mlsql_runtime.handlers.training_python import find_training_python, log_what_is_not_kept
from mlsql_runtime.plan import PythonEnv, Register
from mlsql_runtime.plan.options import format_options
from mlsql_runtime.preflight.host_check import HostNeeds
from mlsql_runtime.preflight.hosts import check_hosts
from mlsql_runtime.result import RegisterResult
from mlsql_runtime.scoring.arguments import Parameters, find_text_columns
from mlsql_runtime.scoring.function_loader import load_function
from mlsql_runtime.scoring.function_record import make_record
from mlsql_runtime.scoring.group_signature import find_signature
from mlsql_runtime.scoring.return_type import read_return_type
from mlsql_runtime.scoring.spark_functions import check_name
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.function_script import FunctionScript
from mlsql_runtime.script.interpreter import is_default_interpreter
from mlsql_runtime.script.kept_project import read_script
from mlsql_runtime.script.protocol import Handover
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions, layout
from mlsql_runtime.store.function_records import FunctionRecord, Refusal
from mlsql_runtime.store.functions import add_refusal
from mlsql_runtime.store.manifest import FileEntry, FitRecord, Manifest
from mlsql_runtime.store.signature import Signature
from mlsql_runtime.store.versions import choose_fit, open_model_path, read_manifest

if TYPE_CHECKING:
    from mlsql_runtime.run_context import RunContext


@dataclass(frozen=True)
class _Registration:
    """A register statement, and the version and fit group that its function will use."""

    statement: Register
    job_id: str
    root: Location
    manifest: Manifest
    fit: FitRecord

    def result(self, reason: str | None = None, function_version: int | None = None) -> RegisterResult:
        return RegisterResult(
            function=self.statement.function,
            registered=function_version is not None,
            reason=reason,
            model_path=self.root.uri,
            version=self.manifest.version,
            alg_index=self.fit.alg_index,
            score=self.fit.score,
            function_version=function_version,
        )

    @property
    def signature(self) -> Signature | None:
        return find_signature(self.manifest, self.fit)

    def record(self, bundle: ScriptBundle, handover: Handover, number: int, pickle: FileEntry) -> FunctionRecord:
        return make_record(
            self.manifest,
            self.fit,
            handover,
            function=self.statement.function,
            number=number,
            job_id=self.job_id,
            model_path=self.root.uri,
            script=bundle.facts,
            pickle=pickle,
            with_train_params=self.statement.copy_train_params,
        )


def register(statement: Register, context: RunContext) -> RegisterResult:
    """Register the function, or refuse with a reason and leave the current function unchanged.

    :raises InputError: when Spark has a function of this name.
    :raises VersionNotFound: when the model path has no such version or group.
    :raises IntegrityError: when a model file is not the one that the manifest names.
    :raises ScriptFailed: when the script or the function fails; nothing is left.
    """
    if context.session is not None:  # without one, the submitter has checked the name
        check_name(statement.function, context.session)
    root = open_model_path(statement.model_path, context.access)
    manifest = read_manifest(root, statement.model_version or context.trained.get(root.uri))
    fit = choose_fit(manifest, statement.alg_index, root.uri)
    registration = _Registration(statement, context.job_id, root, manifest, fit)
    pointer = functions.read_pointer(root, statement.function)
    candidate = Candidate(
        version=manifest.version,
        alg_index=fit.alg_index,
        score=fit.score,
        greater_is_better=manifest.greater_is_better,
        job_id=context.job_id,
    )
    gates = check_gates(statement, candidate, pointer.history if pointer else ())
    record_model(context, root, manifest, fit, "register", None)
    if not gates.has_passed:
        return _refuse(registration, gates)
    try:
        record = _make_function(registration, context)
    except MLSQLError as error:
        error.facts |= {"model_path": root.uri, "version": manifest.version}
        raise
    functions.set_current(root, record, statement.author, gates.reason, threshold=gates.threshold)
    context.serve(statement.function, record)
    record_model(context, root, manifest, fit, "register", record.script, statement.function)
    log(
        f"register: {record.function} is function version {record.function_version}: model version {record.version}, "
        f"group {record.alg_index}, score {record.score}, {_describe(record)}" + (f"; {gates.reason}" if gates.reason else "")
    )
    track_function(statement, context, root, manifest, fit, record)
    return registration.result(gates.reason, record.function_version)


def _describe(record: FunctionRecord) -> str:
    """Return the contract of a function, what it takes and what it returns."""
    if record.contract == "row":
        return "row contract: one row at a time (python_fun.batch_udf takes many at once)"
    return f"batch contract: {Parameters.of(record).describe()} as a {record.input}, returns {record.returns}"


def _refuse(registration: _Registration, gates: GateResult) -> RegisterResult:
    """Leave the name unchanged, and record why."""
    statement, reason = registration.statement, str(gates.reason)
    refusal = Refusal(
        version=registration.manifest.version,
        alg_index=registration.fit.alg_index,
        score=registration.fit.score,
        job_id=registration.job_id,
        at=datetime.now(timezone.utc),
        by=statement.author,
        reason=reason,
        threshold=gates.threshold,
    )
    add_refusal(registration.root, statement.function, refusal)
    log(f"register: {statement.function} is left as it is: {reason}")
    return registration.result(reason)


def _make_function(registration: _Registration, context: RunContext) -> FunctionRecord:
    """Write the function's package and try it; nothing points to it yet."""
    statement, root = registration.statement, registration.root
    bundle = read_script(context.locate_script(statement.script_path), statement.tag, root, registration.manifest)
    if not context.is_local:  # locally the script itself fails with what it lacks
        check_hosts(context, HostNeeds.of_function(bundle)).raise_for_problems()
    if packages := registration.fit.packages:
        warn_of_other_versions(f"function {statement.function}", packages, find_installed_versions(context))
    pickled, handover = _run_predict_script(registration, bundle, _find_python(registration, context))
    handover = replace(handover, returns=read_return_type(handover.returns, context.session))
    _check_input(registration, handover)
    version_dir = layout.version_dir(root, registration.manifest.version)
    is_matrix = handover.input == "matrix"
    samples = find_samples(statement, context, registration.manifest, registration.signature, version_dir, is_matrix)
    record = functions.write_package(
        root, statement.function, pickled, lambda number, file: registration.record(bundle, handover, number, file)
    )
    try:
        if samples is not None:
            try_function(record, samples, context.session, context.access)
        else:
            load_function(record, context.access)
            log(
                f"register: {statement.function} was loaded, but not tried: version {record.version} has no feature columns; "
                "give sample_data, a table of rows to try it on"
            )
        read_manifest(root, record.version)  # it must still exist: another training may have pruned versions meanwhile
    except BaseException:
        functions.remove_package(root, record)
        raise
    return record


def _check_input(registration: _Registration, handover: Handover) -> None:
    """Check that the function can take the columns of its version.

    :raises InputError: for a function over a matrix when a column is not made of numbers.
    """
    text = find_text_columns(registration.signature) if handover.input == "matrix" and registration.signature else []
    if text:
        raise InputError(
            f"function {registration.statement.function} takes a matrix of numbers, and version {registration.manifest.version} "
            f"was trained on {', '.join(f'{column.name} {column.type}' for column in text)}; take a DataFrame, with "
            "python_fun.batch_udf(predict, input='frame')"
        )


def _find_python(registration: _Registration, context: RunContext) -> PythonEnv:
    """Return the driver's own interpreter, of which the function needs the version, with flags and variables of the training."""
    statement, manifest = registration.statement, registration.manifest
    training = find_training_python(registration.root, manifest, context)
    if not is_default_interpreter(training):
        log(
            f"register: version {manifest.version} was trained with {training.path}; {statement.function} runs in the "
            "executors' own Python"
        )
    own = PythonEnv(path="python", envs=statement.envs)
    log_what_is_not_kept("register", own, training, manifest)
    return own.or_of_training(training)


def _run_predict_script(registration: _Registration, bundle: ScriptBundle, python: PythonEnv) -> tuple[bytes, Handover]:
    """Run the predict script on the driver, and return its function, pickled."""
    statement = registration.statement
    return FunctionScript(
        label=f"register {statement.function}",
        name=f"the predict script {statement.script_path or bundle.entry}",
        bundle=bundle,
        python=python,
        manifest=registration.manifest,
        fit=registration.fit,
        signature=registration.signature,
        params=statement.params,
        options=format_options(statement),
        access=registration.root.access,
    ).run()
