"""Render pages as HTML, from templates that escape all values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from mlsql_runtime.store.sources import Fact

if TYPE_CHECKING:
    from jinja2 import Environment

    from airflow_provider_mlsql.pages.manifests import ManifestLookup
    from airflow_provider_mlsql.pages.task import TaskKey


def render_manifests(task: TaskKey, found: Sequence[ManifestLookup], task_url: str) -> str:
    """Render the manifests of a task's versions; ``task_url`` leads back to the task."""
    return _templates().get_template("manifest.html").render(task=task, found=found, task_url=task_url)


def render_message(status: int, message: str, login_url: str) -> str:
    """Render an error, with a link to the login page for status 401."""
    title = HTTPStatus(status).phrase
    page = _templates().get_template("message.html")
    return page.render(title=title, message=message, login_url=login_url if status == HTTPStatus.UNAUTHORIZED else None)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("airflow_provider_mlsql.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters |= {"number": format_number, "moment": format_time, "pairs": format_pairs, "fact": format_fact}
    return made


def format_number(value: float | None) -> str:
    """Return a score or metric with six digits; a dash for none."""
    return "–" if value is None else f"{value:.6g}"  # noqa: RUF001, the typographic dash


def format_time(value: datetime) -> str:
    """Return a time to the second, in UTC."""
    return value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def format_pairs(values: Mapping[str, float | None]) -> str:
    """Return metrics on one line."""
    return ", ".join(f"{name} {format_number(value)}" for name, value in values.items())


def format_fact(value: Fact) -> str:
    """Return a fact of a source: times to the second, and large numbers of files and bytes in groups of three digits."""
    if isinstance(value, datetime):
        return format_time(value)
    return f"{value:,}" if isinstance(value, int) else value
