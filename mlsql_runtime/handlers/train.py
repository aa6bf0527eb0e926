"""The train statement: run the training, then prune versions and define the table of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsql_runtime.events import log
from mlsql_runtime.plan import Train
from mlsql_runtime.result import TrainResult
from mlsql_runtime.store.pruning import prune
from mlsql_runtime.training.mlsql_meta_tables import groups_table
from mlsql_runtime.training.run import TrainingRun

if TYPE_CHECKING:
    from mlsql_runtime.run_context import RunContext
    from mlsql_runtime.storage.location import Location


def train(statement: Train, context: RunContext) -> TrainResult:
    """Publish one version, unless an earlier attempt of the job has published it.

    :raises TrainingFailed: when more groups failed than ``failOn`` allows; a failure record is left.
    :raises DataError: when the table is empty or cannot be prepared; nothing is left.
    """
    run = TrainingRun(statement, context)
    manifest = run.find_published() or run.run()
    context.trained[run.root.uri] = manifest.version
    _prune(run.root, statement.keep_versions, manifest.version)
    if statement.result is not None:
        table = groups_table(statement.script_path, manifest.fits)
        context.define(statement.result, context.spark.createDataFrame(table))
    return manifest.result(run.root.uri)


def _prune(root: Location, keep: int | None, spare: int) -> None:
    try:
        removed = prune(root, keep, spare)
    except Exception as error:  # the new version is published; old versions that stay are no reason to train again
        log(f"train: older versions could not be removed: {error}")
    else:
        if removed:
            log(f"train: removed older versions {', '.join(map(str, removed))}")
