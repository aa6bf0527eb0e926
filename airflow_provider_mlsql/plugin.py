"""The Airflow plugin that puts the provider's pages on the API server."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_mlsql.links import PAGES


class Pages:
    """The pages as an ASGI application, created at the first request: all parts of Airflow load plugins, one shows pages."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None:
            from airflow_provider_mlsql.pages.app import make_app

            self._app = make_app()
        await self._app(scope, receive, send)


class MLSQLPlugin(AirflowPlugin):
    """The provider's pages in Airflow's API server."""

    name = "mlsql"
    fastapi_apps = [{"name": "MLSQL", "url_prefix": PAGES, "app": Pages()}]
