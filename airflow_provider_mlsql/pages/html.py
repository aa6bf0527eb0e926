"""Pages as HTML, from templates that escape whatever they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

    from airflow_provider_mlsql.pages.manifests import ManifestLookup
    from airflow_provider_mlsql.pages.task import TaskKey


def render_manifests(task: TaskKey, found: Sequence[ManifestLookup], task_url: str) -> str:
    """The manifests of a task's versions; ``task_url`` leads back to the task."""
    return _templates().get_template("manifest.html").render(task=task, found=found, task_url=task_url)


def render_message(status: int, message: str, login_url: str) -> str:
    """An error; with the way to log in for who is not."""
    title = HTTPStatus(status).phrase
    page = _templates().get_template("message.html")
    return page.render(title=title, message=message, login_url=login_url if status == HTTPStatus.UNAUTHORIZED else None)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("airflow_provider_mlsql.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters |= {"number": number, "moment": moment, "pairs": pairs}
    return made


def number(value: float | None) -> str:
    """A score or metric as people read it; a dash for none."""
    return "–" if value is None else f"{value:.6g}"  # noqa: RUF001, the typographic dash


def moment(value: datetime) -> str:
    """A time to the second, in UTC."""
    return value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def pairs(values: Mapping[str, float | None]) -> str:
    """Metrics on one line."""
    return ", ".join(f"{name} {number(value)}" for name, value in values.items())
