"""Links on the page of a task: to Spark's UI, and to the manifests of the model versions in the task's XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import XCom, conf
from airflow.sdk import BaseOperatorLink

from airflow_provider_mlsql.compat import HAS_BROWSER_SESSIONS
from airflow_provider_mlsql.xcom_versions import find_versions

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

    from mlsql_runtime.events import ApplicationStarted

PAGES = "/mlsql"  # where the plugin's pages are
_LOOPBACK = ("localhost", "127.", "::1")
_HISTORY = "_mlsql_history"


class SparkUILink(BaseOperatorLink):
    """Spark's UI while the job runs; the history server afterwards, when there is one, and else no link.

    Airflow asks for links when a task has ended, so the operator shows the UI by itself when the job has started.
    """

    name = "Spark UI"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        return getattr(operator, _HISTORY, None) or ""

    def show(self, context: Context, operator: BaseOperator, started: ApplicationStarted) -> None:
        """Store the link to an application that has started, and remember its history server."""
        setattr(operator, _HISTORY, started.history)
        if started.ui and not _is_local_only(started.ui):
            context["ti"].xcom_push(self.xcom_key, started.ui)


class ManifestLink(BaseOperatorLink):
    """The manifests of the versions in the task's XCom; no link if there are none, or if no browser could open it."""

    name = "Model manifest"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        if not HAS_BROWSER_SESSIONS or not find_versions(XCom.get_value(ti_key=ti_key, key="return_value")):
            return ""
        return manifest_url(ti_key)


def manifest_url(ti_key: Any) -> str:
    """Return the path of the page, without a host, so that it works for every name of the API server."""
    parts = (quote(part, safe="") for part in (ti_key.dag_id, ti_key.run_id, ti_key.task_id))
    path = "{}{}/dags/{}/runs/{}/tasks/{}/manifest".format(root_path(), PAGES, *parts)
    mapped = ti_key.map_index is not None and ti_key.map_index >= 0
    return f"{path}?map_index={ti_key.map_index}" if mapped else path


def root_path() -> str:
    """Return the path below which Airflow's API server is mounted."""
    return urlsplit(_base_url()).path.rstrip("/")


def _is_local_only(url: str) -> bool:
    """Return whether only browsers on the worker's machine reach the UI, though others reach Airflow."""
    return _is_loopback(url) and not _is_loopback(_base_url())


def _is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "localhost").startswith(_LOOPBACK)


def _base_url() -> str:
    return str(conf.get("api", "base_url", fallback="") or "")
