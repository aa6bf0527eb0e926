"""Links on the page of a task: to Spark's UI, to the page of its model, and to that of the version that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import XCom, conf
from airflow.sdk import BaseOperatorLink

from airflow_provider_mlsql.compat import HAS_BROWSER_SESSIONS
from airflow_provider_mlsql.task_paths import format_task_path
from airflow_provider_mlsql.xcom_versions import FAILED_VERSION, find_versions

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

    from mlsql_runtime.events import ApplicationStarted

PAGES = "/mlsql"  # where the plugin's pages are
SPARK_UI = "mlsql_spark_ui"  # the key of the XCom with the addresses of the application
_LOOPBACK = ("localhost", "127.", "::1")
_HISTORY = "_mlsql_history"


class SparkUILink(BaseOperatorLink):
    """Spark's UI while the job runs; the history server afterwards, when there is one, and else no link.

    Airflow asks for links when a task has ended, so the operator shows the UI by itself when the job has started. Nobody
    removes the link of a task that is killed. It leads through a page of the plugin, which knows whether the task still runs.
    """

    name = "Spark UI"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        return getattr(operator, _HISTORY, None) or ""

    def show(self, context: Context, operator: BaseOperator, started: ApplicationStarted) -> None:
        """Store the link to an application that has started, and remember its history server."""
        setattr(operator, _HISTORY, started.history)
        if started.ui and not _is_local_only(started.ui):
            task = context["ti"]
            task.xcom_push(key=SPARK_UI, value={"ui": started.ui, "history": started.history})
            task.xcom_push(key=self.xcom_key, value=task_page_url(task, "spark") if HAS_BROWSER_SESSIONS else started.ui)


class ModelLink(BaseOperatorLink):
    """The page of the model that the task trains, registers, waits for or predicts with, from when the task begins.

    There is no link if the task has named no model path.
    """

    name = "Model"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        has_model = getattr(operator, "model_path", None) or _names_version(ti_key)
        return task_page_url(ti_key, "model") if has_model else ""

    def show(self, context: Context, operator: BaseOperator) -> None:
        """Store the link of a task that begins, and may be killed."""
        if getattr(operator, "model_path", None):
            context["ti"].xcom_push(key=self.xcom_key, value=task_page_url(context["ti"], "model"))


class VersionLink(BaseOperatorLink):
    """The page of the versions that the task has named, or of the one whose training failed in it; else no link."""

    name = "Model version"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        return task_page_url(ti_key, "manifest") if _names_version(ti_key) else ""


def _names_version(ti_key: TaskInstanceKey) -> bool:
    return any(find_versions(XCom.get_value(ti_key=ti_key, key=key)) for key in ("return_value", FAILED_VERSION))


def task_page_url(task: Any, page: str) -> str:
    """Return the path of a page of a task, without a host, so that it works for every name of the API server."""
    path = f"{root_path()}{PAGES}{format_task_path(task)}/{page}"
    return f"{path}?map_index={task.map_index}" if task.map_index is not None and task.map_index >= 0 else path


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
