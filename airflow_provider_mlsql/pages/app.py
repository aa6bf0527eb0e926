"""The routes, for users who may read the XComs of the DAG: HTML for browsers, JSON for programs."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_mlsql.links import root_path
from airflow_provider_mlsql.pages.html import render_manifests, render_message
from airflow_provider_mlsql.pages.manifests import ManifestLookup, look_up_manifest
from airflow_provider_mlsql.pages.task import NoVersions, TaskKey, read_named_versions
from mlsql_runtime.codec import encode

_PRIVATE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def make_app() -> FastAPI:
    """Create the application, which Airflow mounts below its own."""
    app = FastAPI(title="MLSQL", description="Manifests of the model versions that tasks trained.", openapi_url=None)
    app.add_api_route(
        "/dags/{dag_id}/runs/{run_id:path}/tasks/{task_id}/manifest",
        show_manifests,
        dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))],
        response_model=None,
    )
    app.add_exception_handler(StarletteHTTPException, _respond_with_error)
    return app


def show_manifests(
    request: Request,
    session: SessionDep,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: Annotated[int, Query(ge=-1)] = -1,
) -> Response:
    """Show the manifests of the versions in a task's XCom."""
    task = TaskKey(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    try:
        models = read_named_versions(task, session)
    except NoVersions as error:
        raise HTTPException(404, str(error)) from error
    found = [look_up_manifest(model) for model in models]
    status = 200 if any(one.manifest for one in found) else found[0].status
    if _wants_json(request):
        return JSONResponse({"task": encode(task), "versions": [_as_json(one) for one in found]}, status, _PRIVATE)
    return Response(render_manifests(task, found, _task_url(task)), status, _PRIVATE, "text/html")


def _as_json(found: ManifestLookup) -> dict[str, object]:
    manifest = None if found.manifest is None else encode(found.manifest)
    return {"model_path": found.model_path, "version": found.version, "manifest": manifest, "problem": found.problem}


def _respond_with_error(request: Request, error: Exception) -> Response:
    """Respond with an error, as HTML or JSON; a page for status 401 has a link to log in."""
    assert isinstance(error, StarletteHTTPException)
    headers = {**(error.headers or {}), **_PRIVATE}
    if _wants_json(request):
        return JSONResponse({"detail": error.detail}, error.status_code, headers)
    page = render_message(error.status_code, str(error.detail), _login_url(request))
    return Response(page, error.status_code, headers, "text/html")


def _wants_json(request: Request) -> bool:
    asked = request.query_params.get("format")
    return asked == "json" if asked else "text/html" not in request.headers.get("accept", "")


def _task_url(task: TaskKey) -> str:
    """Return the URL of the task's page in Airflow."""
    dag, run, name = (quote(part, safe="") for part in (task.dag_id, task.run_id, task.task_id))
    mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
    return f"{root_path()}/dags/{dag}/runs/{run}/tasks/{name}{mapped}"


def _login_url(request: Request) -> str:
    return f"{root_path()}/api/v2/auth/login?next={quote(str(request.url), safe='')}"
