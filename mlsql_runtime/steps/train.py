"""train: write the data, run the fit groups as Spark tasks, publish what they made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from mlsql_runtime.errors import TrainingFailed
from mlsql_runtime.live import LiveLog, say
from mlsql_runtime.plan import Train
from mlsql_runtime.result import TrainResult
from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.steps.columns import check_columns
from mlsql_runtime.steps.data import TrainingData, training_data
from mlsql_runtime.steps.fit_group import FitOutput, FitTask, run_fit
from mlsql_runtime.steps.job import Job, system_params
from mlsql_runtime.steps.meta import groups_table, write_meta
from mlsql_runtime.steps.preflight import preflight
from mlsql_runtime.store import layout
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.manifest import FORMAT_VERSION, DataFacts, FailureRecord, FitRecord, Manifest
from mlsql_runtime.store.publish import Draft, claimed, prune, staging
from mlsql_runtime.store.read import open_model_path


@dataclass(frozen=True)
class _Trained:
    tasks: list[FitTask]
    outputs: list[FitOutput]
    records: tuple[FitRecord, ...]


def train(statement: Train, job: Job) -> TrainResult:
    """Train every fit group and publish one version.

    :raises TrainingFailed: when all groups failed, or any with ``failOn = any``; a failure record is left.
    :raises DataError: when the table is empty or cannot be exported; nothing is left.
    """
    root = open_model_path(statement.model_path)
    bundle = read_bundle(statement.script_path, statement.tag)
    if statement.table is not None:
        check_columns(statement, bundle, job.table(statement.table).columns)
    with staging(root, job.job_id) as stage:
        environment = preflight(job, statement.python, stage)
        with training_data(statement, job, stage) as data:
            if statement.table is None:
                check_columns(statement, bundle, list(data.table.facts.columns))
            trained = _fit(statement, job, bundle, stage, data)
        with claimed(root, job.job_id) as draft:
            _bring_logs(trained, draft)
            if _failed(trained.records, statement.fail_on):
                failure = _leave_failure(statement, job, draft, trained)
            else:
                failure = None
                manifest = _publish(statement, job, draft, trained, bundle, _data_facts(data), environment)
    if failure is not None:
        raise failure
    best = manifest.best
    say(f"train: published version {manifest.version} of {root.uri}, best is group {best.alg_index} with score {best.score}")
    _prune(root, statement.keep_versions)
    if statement.result is not None:
        job.define(statement.result, job.spark.createDataFrame(groups_table(statement.script_path, manifest.fits)))
    return manifest.result(root.uri)


def _prune(root: Location, keep: int | None) -> None:
    try:
        removed = prune(root, keep)
    except Exception as error:  # the new version is published: that older ones stay is no reason to train again
        say(f"train: older versions could not be removed: {error}")
    else:
        if removed:
            say(f"train: removed older versions {', '.join(map(str, removed))}")


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
    job: Job,
    draft: Draft,
    trained: _Trained,
    bundle: ScriptBundle,
    facts: DataFacts,
    environment: Mapping[str, str],
) -> Manifest:
    _bring_models(trained, draft)
    write_meta(draft.folder, statement, trained.records)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        job_id=job.job_id,
        version=draft.version,
        created=datetime.now(timezone.utc),
        script=bundle.facts,
        parameters=system_params(statement.python),
        greater_is_better=statement.greater_is_better,
        data=facts,
        fits=trained.records,
        environment=environment,
        files=draft.entries(),
    )
    draft.publish(manifest)
    return manifest


def _fit(statement: Train, job: Job, bundle: ScriptBundle, stage: Location, data: TrainingData) -> _Trained:
    groups = len(statement.fit_params)
    say(f"train: {groups} fit group{'s' if groups > 1 else ''} of {bundle.entry}")
    with LiveLog(job.driver_host, job.bind_address) as live:
        tasks = [
            FitTask(
                alg_index=index,
                fit_params=params,
                bundle=bundle,
                python=statement.python,
                system_params=system_params(statement.python),
                data=data.table,
                validate=data.validate,
                staging=stage,
                live=live.address,
                task_cpus=job.task_cpus,
                keep_local_directory=statement.keep_local_directory,
                sample_column=data.feature if data.table.facts.width else None,
            )
            for index, params in enumerate(statement.fit_params)
        ]
        outputs = job.spark.sparkContext.parallelize(tasks, groups).mapPartitions(_run_all).collect()
    records = tuple(output.read() for output in outputs)
    for record in records:
        seconds = (record.ended - record.started).total_seconds()
        note = f"; {record.message}" if record.message else ""
        say(f"fit {record.alg_index}: {record.status}, score {record.score}, {seconds:.1f} s{note}")
    return _Trained(tasks, outputs, records)


def _run_all(tasks: Iterable[FitTask]) -> Iterator[FitOutput]:
    from pyspark import TaskContext

    context = TaskContext.get()
    attempt = context.taskAttemptId() if context else 0
    for task in tasks:
        yield run_fit(task, attempt)


def _failed(records: tuple[FitRecord, ...], fail_on: str) -> bool:
    bad = [record for record in records if record.status != "success"]
    return len(bad) == len(records) or (fail_on == "any" and bool(bad))


def _bring_logs(trained: _Trained, draft: Draft) -> None:
    for task, output in zip(trained.tasks, trained.outputs, strict=True):
        (draft.folder / layout.log_file(task.alg_index)).move_from(task.output(output.attempt) / "log")


def _bring_models(trained: _Trained, draft: Draft) -> None:
    has_samples = False
    for task, output, record in zip(trained.tasks, trained.outputs, trained.records, strict=True):
        if record.status == "success":
            made = task.output(output.attempt)
            (draft.folder / layout.model_dir(task.alg_index)).move_from(made / "model")
            if not has_samples and (made / "samples").exists():
                (draft.folder / layout.SAMPLES).move_from(made / "samples")
                has_samples = True


def _leave_failure(statement: Train, job: Job, draft: Draft, trained: _Trained) -> TrainingFailed:
    bad = [record for record in trained.records if record.status != "success"]
    told = "; ".join(f"group {record.alg_index} ({record.status}): {record.message}" for record in bad)
    count = f"{len(bad)} of {len(trained.records)} fit groups failed"
    message = f"training {statement.script_path} for {statement.model_path}: {count}: {told}"
    tails = {str(r.alg_index): out.tail for r, out in zip(trained.records, trained.outputs, strict=True) if r in bad}
    draft.fail(
        FailureRecord(
            format_version=FORMAT_VERSION,
            job_id=job.job_id,
            version=draft.version,
            created=datetime.now(timezone.utc),
            message=message,
            fits=trained.records,
            tails=tails,
        )
    )
    return TrainingFailed(message, version=draft.version, tails={index: list(tail) for index, tail in tails.items()})
