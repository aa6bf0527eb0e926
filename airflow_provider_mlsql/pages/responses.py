"""Responses: HTML for browsers, JSON for programs, with headers that keep what they show from caches and other sites."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from airflow_provider_mlsql.links import root_path
from airflow_provider_mlsql.pages.html import render_message, render_page
from airflow_provider_mlsql.pages.task import TaskKey
from airflow_provider_mlsql.pages.urls import model_url, models_url, task_url

PRIVATE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
FOR_A_YEAR = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


def wants_json(request: Request) -> bool:
    """Return whether a request asks for JSON: by ``?format=json``, or because it does not accept HTML."""
    asked = request.query_params.get("format")
    return asked == "json" if asked else "text/html" not in request.headers.get("accept", "")


def respond_with_page(template: str, status: int = 200, **values: object) -> Response:
    """Respond with a page from a template."""
    return Response(render_page(template, **values), status, PRIVATE, "text/html")


def respond_with_json(document: object, status: int = 200) -> Response:
    """Respond with a JSON document."""
    return JSONResponse(document, status, PRIVATE)


def respond_with_error(request: Request, error: Exception) -> Response:
    """Respond with an error, as HTML or JSON; a page for status 401 has a link to log in."""
    assert isinstance(error, HTTPException)
    headers = {**(error.headers or {}), **PRIVATE}
    if wants_json(request):
        return JSONResponse({"detail": error.detail}, error.status_code, headers)
    page = render_message(error.status_code, str(error.detail), _login_url(request), _find_links(request))
    return Response(page, error.status_code, headers, "text/html")


def respond_with_wrong_request(request: Request, error: Exception) -> Response:
    """Respond with what is wrong with the parameters of a request."""
    assert isinstance(error, RequestValidationError)
    wrong = [f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()]
    return respond_with_error(request, HTTPException(422, "; ".join(wrong)))


def _find_links(request: Request) -> list[tuple[str, str]]:
    """Return where to go from an error: back to the task or the model, and to all models."""
    names, path = request.path_params, request.query_params.get("path")
    links = [("All models", models_url())]
    if path:
        links.insert(0, (f"Model {path}", model_url(path)))
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


def _login_url(request: Request) -> str:
    return f"{root_path()}/api/v2/auth/login?next={quote(str(request.url), safe='')}"
