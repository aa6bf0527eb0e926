"""The addresses of pages, without a host, so that they work for every name of the API server."""

from __future__ import annotations

from functools import cache
from urllib.parse import urlencode

from airflow_provider_mlsql.links import PAGES, root_path
from airflow_provider_mlsql.task_paths import format_page_path
from mlsql_runtime.plan import TaskTry


def airflow_url() -> str:
    """Return the address of Airflow's own first page."""
    return f"{_root()}/"


def models_url(page: int = 1, wanted: str = "") -> str:
    """Return the address of the list of models, of those whose paths have ``wanted`` in them."""
    return _page("models", {"wanted": wanted or None, "page": page if page > 1 else None})


def model_url(path: str, **query: object) -> str:
    """Return the address of a model's page. Values of None are left out of the query."""
    return _page("model", {"path": path, **query})


def version_url(path: str, version: int, **query: object) -> str:
    """Return the address of a version's page."""
    return _page("version", {"path": path, "version": version, **query})


def log_url(path: str, version: int, group: int) -> str:
    """Return the address of a fit group's log, as text."""
    return _page("log", {"path": path, "version": version, "group": group})


def static_url(name: str, digest: str) -> str:
    """Return the address of a file that pages load; the digest changes with the file."""
    return _page(f"static/{name}", {"v": digest})


def task_url(task: TaskTry) -> str:
    """Return the address of a task's page in Airflow."""
    return f"{_root()}{format_page_path(task)}"


@cache
def _root() -> str:
    """Return the path of the API server, which its configuration says: a page has hundreds of links."""
    return root_path()


def _page(name: str, query: dict[str, object]) -> str:
    given = {key: value for key, value in query.items() if value is not None}
    return f"{_root()}{PAGES}/{name}{'?' + urlencode(given) if given else ''}"
