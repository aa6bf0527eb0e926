"""The train statement: resume, feed, fit the groups, publish, then prune versions and define the table of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlsql_runtime.errors import TrainingFailed
from mlsql_runtime.events import log
from mlsql_runtime.handlers.job_lineage import record_training
from mlsql_runtime.handlers.mlflow_tracking import track_training
from mlsql_runtime.plan import Train
from mlsql_runtime.preflight.hosts import run_preflight
from mlsql_runtime.result import TrainResult
from mlsql_runtime.spark_errors import translate
from mlsql_runtime.store.layout import version_dir
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.pruning import prune
from mlsql_runtime.store.sources import Source
from mlsql_runtime.store.staging import is_final, open_staging
from mlsql_runtime.training.columns import check_columns, check_facts, check_named_columns, select_columns
from mlsql_runtime.training.data import TrainingData, prepare_data
from mlsql_runtime.training.estimator_check import check_builtin_algorithm
from mlsql_runtime.training.group import GroupResult
from mlsql_runtime.training.mlsql_meta_tables import groups_table
from mlsql_runtime.training.resume import find_earlier, write_progress
from mlsql_runtime.training.run import TrainingRun
from mlsql_runtime.training.sources import find_training_sources

if TYPE_CHECKING:
    from mlsql_runtime.run_context import RunContext
    from mlsql_runtime.storage.location import Location


def train(statement: Train, context: RunContext) -> TrainResult:
    """Publish one version, unless an earlier attempt of the job has published it.

    :raises TrainingFailed: when more groups failed than ``failOn`` allows; a failure record is left.
    :raises DataError: when the table is empty or cannot be prepared; nothing is left.
    :raises IntegrityError: when a stored table was changed while groups read it.
    """
    run = TrainingRun(statement, context)
    manifest = run.find_published()
    if manifest is None:
        table = None if statement.table is None else context.table(statement.table)
        if table is not None:
            check_columns(run.statement, run.bundle, table.columns)
            table = select_columns(run.statement, table)
        if statement.validate_table is not None:
            source = f"the validation table '{statement.validate_table}'"
            check_named_columns(statement, source, context.table(statement.validate_table).columns)
        needs, attempt = run.find_needs(table), context.plan.attempt
        with open_staging(run.root, context.job_id, run.training, attempt, lambda error: is_final(translate(error))) as stage:
            hosts = run_preflight(context, needs, stage.folder)
            check_builtin_algorithm(run.statement, run.bundle, context)
            earlier = find_earlier(stage, run.training, hosts.versions)
            with prepare_data(run.statement, context, stage.folder, earlier.data) as data:
                if table is None:  # the columns of a topic are known only now
                    check_columns(run.statement, run.bundle, list(data.table.facts.columns))
                check_facts(run.statement, run.bundle, data.facts)
                sources = earlier.sources_of(data.staged) or find_training_sources(run.statement, context, data)
                write_progress(stage, run.training, data.staged, sources, hosts.versions)
                results = run.fit_groups(stage, data, earlier.results_on(data.staged), hosts)
                data.check_unchanged()
            stage.check()
            manifest = run.find_published() or _publish(run, results, data, sources, hosts.versions)
    context.trained[run.root.uri] = manifest.version
    record_training(context, run.root, manifest)
    track_training(statement, context, run.root, manifest.version)
    _prune(run.root, statement.keep_versions, manifest.version)
    if statement.result is not None:
        groups = groups_table(statement.script_path, version_dir(run.root, manifest.version), manifest.fits)
        context.define(statement.result, context.spark.createDataFrame(groups))
    return manifest.result(run.root.uri)


def _publish(
    run: TrainingRun,
    results: Sequence[GroupResult],
    data: TrainingData,
    sources: tuple[Source, ...],
    versions: Mapping[str, str],
) -> Manifest:
    """Publish the version; a failed training is tracked, too."""
    try:
        return run.publish(results, data, sources, versions)
    except TrainingFailed as error:
        track_training(run.statement, run.context, run.root, error.facts["version"])
        raise


def _prune(root: Location, keep: int | None, spare: int) -> None:
    try:
        removed = prune(root, keep, spare)
    except Exception as error:  # the new version is published; old versions that stay are no reason to train again
        log(f"train: older versions could not be removed: {error}")
    else:
        if removed:
            log(f"train: removed older versions {', '.join(map(str, removed))}")
