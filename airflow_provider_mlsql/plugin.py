"""The Airflow plugin that puts the provider's pages on the API server, and into the navigation of Airflow's UI."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_mlsql.compat import HAS_BROWSER_SESSIONS
from airflow_provider_mlsql.links import PAGES, root_path


class Pages:
    """The pages as an ASGI application, created at the first request: all parts of Airflow load plugins, one shows pages."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None:
            from airflow_provider_mlsql.pages.app import make_app

            self._app = make_app()
        await self._app(scope, receive, send)


def list_views() -> list[dict[str, Any]]:
    """Return the entry of the menu Browse; none if no browser could open the page.

    It opens a window of its own: a page inside of Airflow's could not lead to the page of a task. Outside of menus, Airflow 3.3
    shows such an entry as a button without an effect.
    """
    if not HAS_BROWSER_SESSIONS:
        return []
    pages = f"{root_path()}{PAGES}"
    icon = f"{pages}/static/models.svg"
    view = {"name": "Models", "href": f"{pages}/models", "destination": "nav", "category": "browse"}
    return [{**view, "icon": icon, "icon_dark_mode": icon}]


class MLSQLPlugin(AirflowPlugin):
    """The provider's pages in Airflow's API server."""

    name = "mlsql"
    fastapi_apps = [{"name": "MLSQL", "url_prefix": PAGES, "app": Pages()}]
    external_views = list_views()
