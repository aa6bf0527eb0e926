"""Remove what a killed or lost application could not remove itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mlsql_runtime.kafka.run_topic import Owner, client_settings, remove_run
from mlsql_runtime.plan import Plan, Secrets, StorageAccess
from mlsql_runtime.store.staging import remove_staging_folders
from mlsql_runtime.store.versions import open_model_path

_log = logging.getLogger(__name__)


def staging_paths(plan: Plan) -> tuple[str, ...]:
    """Return the model paths below which the plan's statements stage files."""
    outlines = (each.outline for each in plan.statements)
    return tuple(dict.fromkeys(each.model_root for each in outlines if each.stages_files and each.model_root is not None))


def remove_staged(job_id: str, paths: Iterable[str], access: StorageAccess) -> None:
    """Remove what a job has staged below model paths. Call it only when no process of the job runs and no attempt follows.

    :param access: connections to storage.
    """
    for path in paths:
        try:
            remove_staging_folders(open_model_path(path, access), job_id)
        except Exception as error:  # also of a storage's client: a failed cleanup must not hide the result of the job
            _log.warning("Staged files of the job in %s may be left; remove them: %s", path, error)


def remove_topics(plan: Plan, secrets: Secrets) -> None:
    """Remove the topics and consumer groups of the plan's runs, also after the driver has: a script that outlived it may have
    committed offsets once more.
    """
    for statement in plan.statements:
        if (topic := statement.outline.topic) is not None:
            owner = Owner(plan.job_id, topic.model_path, topic.readers)
            try:
                remove_run(topic.feed, client_settings(topic.feed, secrets), owner)
            except Exception as error:  # also of kafka-python
                _log.warning("The topic or the consumer groups of the run may be left; remove them: %s", error)
