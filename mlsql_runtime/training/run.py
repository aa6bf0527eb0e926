"""train: write the data, run the fit groups as Spark tasks, publish what they made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from mlsql_runtime import __version__
from mlsql_runtime.errors import TrainingFailed
from mlsql_runtime.events import EventServer, log
from mlsql_runtime.plan import KafkaFeed, Train
from mlsql_runtime.preflight.hosts import PreflightOutcome, feed_of, needs_of_script, run_preflight
from mlsql_runtime.result import TrainResult
from mlsql_runtime.run_context import RunContext
from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.spark_errors import translate
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import FORMAT_VERSION, DataFacts, FailureRecord, FitRecord, Manifest
from mlsql_runtime.store.pruning import prune
from mlsql_runtime.store.publish import VersionDraft, claim_version, find_published_version
from mlsql_runtime.store.staging import Staging, is_final, open_staging
from mlsql_runtime.store.versions import open_model_path
from mlsql_runtime.training.columns import check_columns
from mlsql_runtime.training.data import TrainingData, training_data, with_format
from mlsql_runtime.training.estimator_check import check_algorithms
from mlsql_runtime.training.group_task import FitOutput, FitTask
from mlsql_runtime.training.mlsql_meta_tables import groups_table, write_meta
from mlsql_runtime.training.resume import Earlier, Finished, find_earlier, write_progress
from mlsql_runtime.training.spark_groups import run_groups


@dataclass(frozen=True)
class _Trained:
    tasks: list[FitTask]
    outputs: list[FitOutput]
    records: tuple[FitRecord, ...]


def train(statement: Train, context: RunContext) -> TrainResult:
    """Train every fit group and publish one version, unless an earlier attempt of the job has published it.

    :raises TrainingFailed: when all groups failed, or any with ``failOn = any``; a failure record is left.
    :raises DataError: when the table is empty or cannot be exported; nothing is left.
    """
    root = open_model_path(statement.model_path)
    bundle = read_bundle(statement.script_path, statement.tag)
    statement = _fill_defaults(statement, bundle)
    training = _training(context, bundle)
    manifest = _published(context, root, training) or _train(statement, context, root, bundle, training)
    context.trained[root.uri] = manifest.version
    _prune(root, statement.keep_versions, manifest.version)
    if statement.result is not None:
        context.define(statement.result, context.spark.createDataFrame(groups_table(statement.script_path, manifest.fits)))
    return manifest.result(root.uri)


def _fill_defaults(statement: Train, bundle: ScriptBundle) -> Train:
    """Return the statement with the default parameters of the script's project filled in.

    :raises InputError: when a parameter is missing, or is not of its type.
    """
    for note in bundle.notes:
        log(f"train: {note}")
    groups = tuple(bundle.fill(params, f"fitParam.{index}") for index, params in enumerate(statement.fit_params))
    return replace(statement, fit_params=groups)


def _training(context: RunContext, bundle: ScriptBundle) -> str:
    """What is the same in all attempts of this training, and in no other training, as hex digits."""
    parts = (context.plan.digest(context.index), bundle.facts.sha256, __version__)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _published(context: RunContext, root: Location, training: str) -> Manifest | None:
    """What an earlier attempt has published of this training."""
    since = context.plan.attempt.earlier_since
    manifest = None if since is None else find_published_version(root, context.job_id, training, since)
    if manifest is not None:
        log(f"train: an earlier attempt has published version {manifest.version} of {root.uri}, {_best(manifest)}")
    return manifest


def _best(manifest: Manifest) -> str:
    return f"best is group {manifest.best.alg_index} with score {manifest.best.score}"


def _train(statement: Train, context: RunContext, root: Location, bundle: ScriptBundle, training: str) -> Manifest:
    table = None if statement.table is None else context.table(statement.table)
    if table is not None:
        check_columns(statement, bundle, table.columns)
        statement = with_format(statement, bundle, context)
    wanted = needs_of_script(bundle, statement.python, feed_of(table, isinstance(statement.feed, KafkaFeed)))
    with open_staging(root, context.job_id, training, context.plan.attempt, lambda error: is_final(translate(error))) as stage:
        flight = run_preflight(context, wanted, stage.folder)
        environment = flight.versions
        check_algorithms(statement, bundle, context)
        earlier = find_earlier(stage, training, environment)
        with training_data(statement, context, stage.folder, earlier.data if earlier else None) as data:
            if statement.table is None:
                check_columns(statement, bundle, list(data.table.facts.columns))
            write_progress(stage, training, data.facts, environment)
            trained = _fit(statement, context, bundle, stage, data, _finished(earlier, data), flight)
        stage.check()
        if (meanwhile := _published(context, root, training)) is not None:
            return meanwhile
        with claim_version(root, context.job_id, training) as draft:
            _bring_logs(trained, draft)
            if not _failed(trained.records, statement.fail_on):
                manifest = _publish(statement, context, draft, trained, bundle, _data_facts(data), environment)
                log(f"train: published version {manifest.version} of {root.uri}, {_best(manifest)}")
                return manifest
            failure = _leave_failure(statement, context, draft, trained)
        raise failure


def _finished(earlier: Earlier | None, data: TrainingData) -> Mapping[int, Finished]:
    """The groups that interrupted attempts have trained on these data."""
    if earlier is None:
        return {}
    if earlier.data != data.facts:
        log("train: the table is not the one of the earlier attempt any more; all groups are trained anew")
        return {}
    return earlier.finished


def _prune(root: Location, keep: int | None, spare: int) -> None:
    try:
        removed = prune(root, keep, spare)
    except Exception as error:  # the new version is published: that older ones stay is no reason to train again
        log(f"train: older versions could not be removed: {error}")
    else:
        if removed:
            log(f"train: removed older versions {', '.join(map(str, removed))}")


def _data_facts(data: TrainingData) -> DataFacts:
    facts = data.table.facts
    return DataFacts(
        rows=facts.rows,
        validate_rows=data.validate.facts.rows if data.validate else 0,
        columns=facts.columns,
        feature_column=data.feature,
        feature_width=facts.width,
    )


def _publish(
    statement: Train,
    context: RunContext,
    draft: VersionDraft,
    trained: _Trained,
    bundle: ScriptBundle,
    facts: DataFacts,
    environment: Mapping[str, str],
) -> Manifest:
    _bring_models(trained, draft)
    write_meta(draft.folder, statement, trained.records)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        job_id=context.job_id,
        version=draft.version,
        created=datetime.now(timezone.utc),
        script=bundle.facts,
        parameters=statement.python.system_params,
        greater_is_better=statement.greater_is_better,
        data=facts,
        fits=trained.records,
        environment=environment,
        files=draft.file_entries(),
    )
    draft.publish(manifest)
    return manifest


def _fit(
    statement: Train,
    context: RunContext,
    bundle: ScriptBundle,
    stage: Staging,
    data: TrainingData,
    finished: Mapping[int, Finished],
    flight: PreflightOutcome,
) -> _Trained:
    groups = len(statement.fit_params)
    log(f"train: {groups} fit group{'s' if groups > 1 else ''} of {bundle.entry}")
    with EventServer(context.driver_host, context.bind_address) as live:
        tasks = [
            FitTask(
                alg_index=index,
                fit_params=params,
                bundle=bundle,
                python=statement.python,
                system_params=statement.python.system_params,
                data=data.table,
                validate=data.validate,
                staging=finished[index].staging if index in finished else stage.folder,
                live=live.address,
                task_cpus=context.task_cpus,
                keep_local_directory=statement.keep_local_directory,
                sample_column=data.feature if data.table.facts.width else None,
            )
            for index, params in enumerate(statement.fit_params)
        ]
        missing = [task for task in tasks if task.alg_index not in finished]
        answers = run_groups(missing, context, flight)
    by_group = {index: group.output for index, group in finished.items()}
    by_group.update((task.alg_index, output) for task, output in zip(missing, answers, strict=True))
    outputs = [by_group[task.alg_index] for task in tasks]
    records = tuple(output.read() for output in outputs)
    for record in records:
        seconds = (record.ended - record.started).total_seconds()
        by = ", by an earlier attempt" if record.alg_index in finished else ""
        note = f"; {record.message}" if record.message else ""
        log(f"fit {record.alg_index}: {record.status}, score {record.score}, {seconds:.1f} s{by}{note}")
    return _Trained(tasks, outputs, records)


def _failed(records: tuple[FitRecord, ...], fail_on: str) -> bool:
    bad = [record for record in records if record.status != "success"]
    return len(bad) == len(records) or (fail_on == "any" and bool(bad))


def _bring_logs(trained: _Trained, draft: VersionDraft) -> None:
    for task, output in zip(trained.tasks, trained.outputs, strict=True):
        (draft.folder / layout.log_file(task.alg_index)).copy_from(task.output(output.attempt) / "log")


def _bring_models(trained: _Trained, draft: VersionDraft) -> None:
    has_samples = False
    for task, output, record in zip(trained.tasks, trained.outputs, trained.records, strict=True):
        if record.status == "success":
            made = task.output(output.attempt)
            (draft.folder / layout.model_dir(task.alg_index)).copy_from(made / "model")
            if not has_samples and (made / "samples").exists():
                (draft.folder / layout.SAMPLES).copy_from(made / "samples")
                has_samples = True


def _leave_failure(statement: Train, context: RunContext, draft: VersionDraft, trained: _Trained) -> TrainingFailed:
    bad = [record for record in trained.records if record.status != "success"]
    told = "; ".join(f"group {record.alg_index} ({record.status}): {record.message}" for record in bad)
    count = f"{len(bad)} of {len(trained.records)} fit groups failed"
    message = f"training {statement.script_path} for {statement.model_path}: {count}: {told}"
    tails = {str(r.alg_index): out.tail for r, out in zip(trained.records, trained.outputs, strict=True) if r in bad}
    draft.fail(
        FailureRecord(
            format_version=FORMAT_VERSION,
            job_id=context.job_id,
            version=draft.version,
            created=datetime.now(timezone.utc),
            message=message,
            fits=trained.records,
            tails=tails,
        )
    )
    return TrainingFailed(message, version=draft.version, tails={index: list(tail) for index, tail in tails.items()})
