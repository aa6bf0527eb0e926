"""The routes: HTML for browsers, JSON for programs, for users who may read the XComs of the DAGs that named a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, TypeVar
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_mlsql.links import root_path
from airflow_provider_mlsql.pages.access import Viewer
from airflow_provider_mlsql.pages.html import STATIC, read_static, render_message, render_page
from airflow_provider_mlsql.pages.lookup import Lookup, look_up, look_up_manifest
from airflow_provider_mlsql.pages.model_list import ModelReader
from airflow_provider_mlsql.pages.model_view import ModelView
from airflow_provider_mlsql.pages.named_models import NamedModels, find_path
from airflow_provider_mlsql.pages.storage_paths import check_readable, explain, read_access, without_password
from airflow_provider_mlsql.pages.task import NoVersions, TaskKey, read_model_paths, read_named_versions, read_spark_ui
from airflow_provider_mlsql.pages.urls import model_url, models_url, task_url
from airflow_provider_mlsql.pages.version_view import read_version_view
from airflow_provider_mlsql.xcom_versions import ModelVersion
from mlsql_runtime.codec import encode
from mlsql_runtime.errors import FormatError, InputError
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.overview import VersionCache
from mlsql_runtime.store.summary import read_log
from mlsql_runtime.store.versions import open_store

MODELS_PER_PAGE = 50
VERSIONS = 100  # of a model's page, unless it is asked for more
MOST_VERSIONS = 1000
_PRIVATE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_FOR_A_YEAR = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
_TASK = "/dags/{dag_id}/runs/{run_id:path}/tasks/{task_id}"

T = TypeVar("T")
MapIndex = Annotated[int, Query(ge=-1)]
Number = Annotated[int, Query(ge=1)]


def make_app() -> FastAPI:
    """Create the application, which Airflow mounts below its own."""
    app = FastAPI(title="MLSQL", description="Models and their versions.", openapi_url=None)
    pages = ModelPages()
    of_dag = [Depends(requires_access_dag("GET", DagAccessEntity.XCOM))]
    app.add_api_route(f"{_TASK}/manifest", show_task_versions, dependencies=of_dag, response_model=None)
    app.add_api_route(f"{_TASK}/model", show_task_model, dependencies=of_dag, response_model=None)
    app.add_api_route(f"{_TASK}/spark", show_spark_ui, dependencies=of_dag, response_model=None)
    app.add_api_route("/models", pages.show_models, response_model=None)
    app.add_api_route("/model", pages.show_model, response_model=None)
    app.add_api_route("/version", pages.show_version, response_model=None)
    app.add_api_route("/log", pages.show_log, response_model=None)
    app.add_api_route("/static/{name}", show_static, response_model=None)
    app.add_exception_handler(StarletteHTTPException, _respond_with_error)
    return app


# -- pages of a task


def show_task_versions(
    request: Request, session: SessionDep, user: GetUserDep, dag_id: str, run_id: str, task_id: str, map_index: MapIndex = -1
) -> Response:
    """Show the versions in a task's XCom, or the one whose training failed."""
    task = TaskKey(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    try:
        models = read_named_versions(task, session)
    except NoVersions as error:
        raise HTTPException(404, str(error)) from error
    if _wants_json(request):
        manifests = [_hide_task(look_up_manifest(model), Viewer(user)) for model in models]
        status = 200 if any(one.found for one in manifests) else manifests[0].status
        return JSONResponse({"task": encode(task), "versions": [_as_json(one) for one in manifests]}, status, _PRIVATE)
    found = [look_up(model, read_version_view) for model in models]
    status = 200 if any(one.found for one in found) else found[0].status
    page = render_page("version.html", task=task, found=found, may_read=Viewer(user).may_read)
    return Response(page, status, _PRIVATE, "text/html")


def show_task_model(session: SessionDep, dag_id: str, run_id: str, task_id: str, map_index: MapIndex = -1) -> Response:
    """Lead to the page of the model that a task trains, registers or waits for."""
    task = TaskKey(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    try:
        paths = read_model_paths(task, session)
    except NoVersions as error:
        raise HTTPException(404, str(error)) from error
    return RedirectResponse(model_url(without_password(paths[0])), 303, _PRIVATE)


def show_spark_ui(session: SessionDep, dag_id: str, run_id: str, task_id: str, map_index: MapIndex = -1) -> Response:
    """Lead to Spark's UI while the task runs, and to the history server afterwards."""
    task = TaskKey(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    try:
        state, url = read_spark_ui(task, session)
    except NoVersions as error:
        raise HTTPException(404, str(error)) from error
    if url is None:
        raise HTTPException(
            410,
            f"the Spark application of {task.label} has ended (the task's state is: {state}), and its UI with it. No history "
            "server is known: set spark.yarn.historyServer.address and spark.eventLog.enabled to keep the UI of applications",
        )
    return RedirectResponse(url, 303, _PRIVATE)


# -- pages of models


class ModelPages:
    """The pages of models, and what they keep: the model paths that were named, and facts of versions that have ended."""

    def __init__(self) -> None:
        self._named = NamedModels()
        self._reader = ModelReader(VersionCache())

    def show_models(self, request: Request, session: SessionDep, user: GetUserDep, page: Number = 1) -> Response:
        """Show the models that the user may see."""
        viewer = Viewer(user)
        paths = sorted(viewer.select(self._named.look(session)))
        shown = paths[MODELS_PER_PAGE * (page - 1) : MODELS_PER_PAGE * page]
        entries = self._reader.read_all(shown)
        if _wants_json(request):
            views = ((entry, entry.view and entry.view.hide_tasks(viewer.may_read)) for entry in entries)
            models = [_entry_as_json(entry.shown_path, view, entry.problem) for entry, view in views]
            return JSONResponse({"models": models}, headers=_PRIVATE)
        pages = -(-len(paths) // MODELS_PER_PAGE)
        return _html("models.html", entries=entries, page=page, pages=pages, count=len(paths))

    def show_model(
        self,
        request: Request,
        session: SessionDep,
        user: GetUserDep,
        path: str,
        metric: str | None = None,
        x: str = "version",
        versions: Annotated[int, Query(ge=1, le=MOST_VERSIONS)] = VERSIONS,
    ) -> Response:
        """Show a model: its functions, the score over its versions, the versions."""
        viewer = Viewer(user)
        uri = self._find(path, session, viewer)
        view = _read(uri, lambda: self._reader.read(uri, versions))
        if _wants_json(request):
            return JSONResponse(_entry_as_json(view.shown_path, view.hide_tasks(viewer.may_read), None), headers=_PRIVATE)
        chart = view.make_chart(metric or None, x == "time")
        values = {"metric": metric or None, "x": x, "versions": versions, "most": MOST_VERSIONS}
        return _html("model.html", view=view, chart=chart, may_read=viewer.may_read, **values)

    def show_version(
        self,
        request: Request,
        session: SessionDep,
        user: GetUserDep,
        path: str,
        version: Number,
        against: Annotated[int | None, Query(ge=1)] = None,
    ) -> Response:
        """Show a version, and what differs from another one."""
        viewer = Viewer(user)
        model = ModelVersion(self._find(path, session, viewer), version)
        if _wants_json(request):
            one = _hide_task(look_up_manifest(model), viewer)
            return JSONResponse(_as_json(one), one.status, _PRIVATE)
        found = look_up(model, lambda path, version: read_version_view(path, version, against))
        page = render_page("version.html", task=None, found=[found], may_read=viewer.may_read)
        return Response(page, found.status, _PRIVATE, "text/html")

    def show_log(
        self, session: SessionDep, user: GetUserDep, path: str, version: Number, group: Annotated[int, Query(ge=0)]
    ) -> Response:
        """Show the log of a fit group, as text."""
        uri = self._find(path, session, Viewer(user))
        text = _read(uri, lambda: read_log(open_store(uri, read_access()), version, group))
        return Response(text, headers=_PRIVATE, media_type="text/plain")

    def _find(self, shown: str, session: SessionDep, viewer: Viewer) -> str:
        """Return the model path of a page, which the user must be allowed to see.

        :raises HTTPException: the same for a path that does not exist and for one that the user must not see.
        """
        named = self._named.look(session)
        path = find_path(named, shown.rstrip("/") or shown)
        if path is None or not viewer.select({path: named[path]}):
            raise HTTPException(404, f"no DAG whose XComs you may read has named the model path {shown}")
        return path


def _html(template: str, **values: object) -> Response:
    return Response(render_page(template, **values), 200, _PRIVATE, "text/html")


def _read(uri: str, read: Callable[[], T]) -> T:
    """Read from storage; what the user did not ask for well is status 404, and what storage does not give 500."""
    try:
        check_readable(uri)
        return read()
    except InputError as error:
        raise HTTPException(500 if isinstance(error, FormatError) else 404, explain(error, uri)) from error
    except Exception as error:
        raise HTTPException(500, explain(error, uri)) from error


def show_static(name: str) -> Response:
    """Return a file that pages load; everybody may have it."""
    if name not in STATIC:
        raise HTTPException(404, "there is no such file")
    return Response(read_static(name), headers=_FOR_A_YEAR, media_type=STATIC[name])


# -- responses


def _hide_task(found: Lookup[Manifest], viewer: Viewer) -> Lookup[Manifest]:
    """Return a manifest without its job and its task, if that is one of a DAG that the user must not see."""
    manifest = found.found
    if manifest is None or manifest.task is None or viewer.may_read(manifest.task.dag_id):
        return found
    return replace(found, found=replace(manifest, task=None, job_id=""))


def _as_json(found: Lookup[Manifest]) -> dict[str, object]:
    manifest = None if found.found is None else encode(found.found)
    return {"model_path": found.model_path, "version": found.version, "manifest": manifest, "problem": found.problem}


def _entry_as_json(shown_path: str, view: ModelView | None, problem: str | None) -> dict[str, object]:
    overview = None if view is None else {**encode(view.overview), "model_path": shown_path}
    return {"model_path": shown_path, "overview": overview, "problem": problem}


def _respond_with_error(request: Request, error: Exception) -> Response:
    """Respond with an error, as HTML or JSON; a page for status 401 has a link to log in."""
    assert isinstance(error, StarletteHTTPException)
    headers = {**(error.headers or {}), **_PRIVATE}
    if _wants_json(request):
        return JSONResponse({"detail": error.detail}, error.status_code, headers)
    page = render_message(error.status_code, str(error.detail), _login_url(request), _find_links(request))
    return Response(page, error.status_code, headers, "text/html")


def _find_links(request: Request) -> list[tuple[str, str]]:
    """Return where to go from an error: back to the task, to its model, to all models."""
    names = request.path_params
    links = [("All models", models_url())]
    if {"dag_id", "run_id", "task_id"} <= names.keys():
        index = request.query_params.get("map_index", "-1")
        task = TaskKey(
            dag_id=names["dag_id"],
            run_id=names["run_id"],
            task_id=names["task_id"],
            map_index=int(index) if index.isdecimal() else -1,
        )
        links.insert(0, (f"Task {task.label}", task_url(task.address)))
    return links


def _wants_json(request: Request) -> bool:
    asked = request.query_params.get("format")
    return asked == "json" if asked else "text/html" not in request.headers.get("accept", "")


def _login_url(request: Request) -> str:
    return f"{root_path()}/api/v2/auth/login?next={quote(str(request.url), safe='')}"
