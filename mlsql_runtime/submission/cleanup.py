"""What an application that was killed, or whose cluster lost it, could not remove itself."""

from __future__ import annotations

import logging

from mlsql_runtime.kafka.run_topic import Owner, client_settings, remove_run
from mlsql_runtime.plan import Plan, Secrets
from mlsql_runtime.store.staging import remove_staging_folders
from mlsql_runtime.store.versions import open_model_path

_log = logging.getLogger(__name__)


def staging_paths(plan: Plan) -> tuple[str, ...]:
    """The model paths in which the plan's statements stage files, each once."""
    return tuple(dict.fromkeys(each.model_root for each in plan.statements if each.stages_files and each.model_root is not None))


def remove_staged(plan: Plan) -> None:
    """What the plan's job has staged, and kept for an attempt that will not come; only when none of it runs."""
    for path in staging_paths(plan):
        try:
            remove_staging_folders(open_model_path(path), plan.job_id)
        except Exception as error:  # of a storage's client, too; the result of the job counts, not what is left of it
            _log.warning("What the job has staged in %s may be left, remove it by hand: %s", path, error)


def remove_topics(plan: Plan, secrets: Secrets) -> None:
    """Topics and groups of the plan's runs: a driver that was killed could not, and a script that outlived it may have
    committed once more.
    """
    for statement in plan.statements:
        if (topic := statement.topic) is not None:
            owner = Owner(plan.job_id, topic.model_path, topic.readers)
            try:
                remove_run(topic.feed, client_settings(topic.feed, secrets), owner)
            except Exception as error:  # of kafka-python, too
                _log.warning("The run's topic or groups may be left, remove them by hand: %s", error)
