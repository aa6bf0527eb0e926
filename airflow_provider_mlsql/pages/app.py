"""The routes: HTML for browsers, JSON for programs, for users who may read the XComs of the DAGs that named a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_provider_mlsql.pages.access import Viewer
from airflow_provider_mlsql.pages.html import STATIC, read_static
from airflow_provider_mlsql.pages.lookup import look_up
from airflow_provider_mlsql.pages.model_list import ModelEntry, ModelReader
from airflow_provider_mlsql.pages.named_models import NamedModels, find_path
from airflow_provider_mlsql.pages.responses import (
    FOR_A_YEAR,
    PRIVATE,
    respond_with_error,
    respond_with_json,
    respond_with_page,
    respond_with_wrong_request,
    wants_json,
)
from airflow_provider_mlsql.pages.storage_paths import check_readable, explain, read_access, without_password
from airflow_provider_mlsql.pages.task import NoVersions, TaskKey, read_model_paths, read_named_versions, read_spark_ui
from airflow_provider_mlsql.pages.urls import model_url
from airflow_provider_mlsql.xcom_versions import ModelVersion
from mlsql_runtime.codec import encode
from mlsql_runtime.errors import FormatError, InputError
from mlsql_runtime.store.overview import VersionCache
from mlsql_runtime.store.summary import read_log
from mlsql_runtime.store.versions import open_store

MODELS_PER_PAGE = 50
VERSIONS = 100  # of a model's page, unless it is asked for more
MOST_VERSIONS = 1000
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
    app.add_api_route(f"{_TASK}/model", pages.show_task_model, dependencies=of_dag, response_model=None)
    app.add_api_route(f"{_TASK}/spark", show_spark_ui, dependencies=of_dag, response_model=None)
    app.add_api_route("/models", pages.show_models, response_model=None)
    app.add_api_route("/model", pages.show_model, response_model=None)
    app.add_api_route("/version", pages.show_version, response_model=None)
    app.add_api_route("/log", pages.show_log, response_model=None)
    app.add_api_route("/static/{name}", show_static, response_model=None)
    app.add_exception_handler(StarletteHTTPException, respond_with_error)
    app.add_exception_handler(RequestValidationError, respond_with_wrong_request)
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
    may_read = Viewer(user).may_read
    found = [look_up(model).hide_task(may_read) for model in models]
    status = 200 if any(one.view for one in found) else found[0].status
    if wants_json(request):
        return respond_with_json({"task": encode(task), "versions": [one.document for one in found]}, status)
    return respond_with_page("version.html", status, task=task, found=found)


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
    return RedirectResponse(url, 303, PRIVATE)


# -- pages of models


class ModelPages:
    """The pages of models, and what they keep: the model paths that were named, and facts of versions that have ended."""

    def __init__(self) -> None:
        self._named = NamedModels()
        self._reader = ModelReader(VersionCache())

    def show_models(
        self, request: Request, session: SessionDep, user: GetUserDep, wanted: str = "", page: Number = 1
    ) -> Response:
        """Show the models that the user may see, those whose paths have ``wanted`` in them."""
        viewer = Viewer(user)
        found = sorted(viewer.select(self._named.look(session)))
        paths = [path for path in found if wanted.lower() in without_password(path).lower()]
        pages = max(1, -(-len(paths) // MODELS_PER_PAGE))
        page = min(page, pages)
        shown = paths[MODELS_PER_PAGE * (page - 1) : MODELS_PER_PAGE * page]
        entries = [entry.hide_tasks(viewer.may_read) for entry in self._reader.read_all(shown)]
        if wants_json(request):
            counts = {"count": len(paths), "page": page, "pages": pages}
            return respond_with_json({"models": [entry.document for entry in entries], **counts})
        return respond_with_page("models.html", entries=entries, page=page, pages=pages, count=len(paths), wanted=wanted)

    def show_task_model(self, session: SessionDep, dag_id: str, run_id: str, task_id: str, map_index: MapIndex = -1) -> Response:
        """Lead to the page of the model that a task trains, registers or waits for."""
        task = TaskKey(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
        try:
            paths = read_model_paths(task, session)
        except NoVersions as error:
            raise HTTPException(404, str(error)) from error
        shown = without_password(paths[0])
        if find_path(self._named.look(session), shown) is None:
            raise HTTPException(404, f"no task has named a version of {shown} yet; {task.label} is at work on it, or has failed")
        return RedirectResponse(model_url(shown), 303, PRIVATE)

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
        view = _read(uri, lambda: self._reader.read(uri, versions)).hide_tasks(viewer.may_read)
        if wants_json(request):
            return respond_with_json(ModelEntry(view.shown_path, view).document)
        metric = metric or None
        chart = view.make_chart(metric, x == "time")
        return respond_with_page("model.html", view=view, chart=chart, metric=metric, x=x, versions=versions, most=MOST_VERSIONS)

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
        found = look_up(model, against).hide_task(viewer.may_read)
        if wants_json(request):
            return respond_with_json(found.document, found.status)
        return respond_with_page("version.html", found.status, task=None, found=[found])

    def show_log(
        self, session: SessionDep, user: GetUserDep, path: str, version: Number, group: Annotated[int, Query(ge=0)]
    ) -> Response:
        """Show the log of a fit group, as text."""
        uri = self._find(path, session, Viewer(user))
        text = _read(uri, lambda: read_log(open_store(uri, read_access()), version, group))
        return Response(text, headers=PRIVATE, media_type="text/plain")

    def _find(self, shown: str, session: SessionDep, viewer: Viewer) -> str:
        """Return the model path of a page, which the user must be allowed to see.

        :raises HTTPException: the same for a path that does not exist and for one that the user must not see.
        """
        named = self._named.look(session)
        path = find_path(named, shown.rstrip("/") or shown)
        if path is None or not viewer.select({path: named[path]}):
            raise HTTPException(404, f"no DAG whose XComs you may read has named the model path {shown}")
        return path


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
    return Response(read_static(name), headers=FOR_A_YEAR, media_type=STATIC[name])
