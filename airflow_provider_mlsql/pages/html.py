"""Render pages as HTML, from templates that escape all values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Any

from airflow_provider_mlsql.compat import HAS_BROWSER_SESSIONS
from airflow_provider_mlsql.pages import urls
from mlsql_runtime.store.sources import Fact

if TYPE_CHECKING:
    from jinja2 import Environment

    from airflow_provider_mlsql.pages.charts import Chart
    from mlsql_runtime.plan import TaskTry

STATIC = {
    "pages.css": "text/css",
    "charts.js": "text/javascript",
    "copy.js": "text/javascript",
    "session.js": "text/javascript",
    "uPlot-1.6.32.min.css": "text/css",  # https://www.npmjs.com/package/uplot/v/1.6.32, MIT, see uPlot-LICENSE.txt
    "uPlot-1.6.32.min.js": "text/javascript",
    "models.svg": "image/svg+xml",
}
SHORT_TEXT = 200  # characters
_URLS = (urls.airflow_url, urls.models_url, urls.model_url, urls.version_url, urls.log_url, urls.task_url)


def render_page(template: str, **values: Any) -> str:
    """Render a page from a template of this package."""
    return _templates().get_template(template).render(**values)


def render_message(status: int, message: str, login_url: str, links: Sequence[tuple[str, str]] = ()) -> str:
    """Render an error, with a link to the login page for status 401, and other links by their texts."""
    title = HTTPStatus(status).phrase
    is_unknown = status == HTTPStatus.UNAUTHORIZED
    values = {"login_url": login_url if is_unknown else None, "has_session": is_unknown and not HAS_BROWSER_SESSIONS}
    return render_page("message.html", title=title, message=message, links=links, **values)


@cache
def read_static(name: str) -> bytes:
    """Return a file that pages load; one of ``STATIC``."""
    return (resources.files(__package__) / "static" / name).read_bytes()


@cache
def _static_url(name: str) -> str:
    return urls.static_url(name, hashlib.sha256(read_static(name)).hexdigest()[:12])


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("airflow_provider_mlsql.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "name": find_name,
        "task": format_task,
        "short": shorten,
        "number": format_number,
        "whole": format_whole,
        "moment": format_time,
        "minute": format_minute,
        "day": format_day,
        "clock": format_clock,
        "pairs": format_pairs,
        "fact": format_fact,
        "value": format_value,
        "chart": format_chart,
    }
    made.globals |= {"static_url": _static_url, **{function.__name__: function for function in _URLS}}
    return made


def find_name(path: str) -> str:
    """Return the last part of a model path."""
    return path.rstrip("/").rpartition("/")[2] or path


def format_task(task: TaskTry) -> str:
    """Return a task as people name it."""
    return f"{task.dag_id}.{task.task_id}" + ("" if task.map_index is None else f"[{task.map_index}]")


def shorten(text: str) -> str:
    """Return the beginning of a text, which a page of its own shows in full."""
    return text if len(text) <= SHORT_TEXT else f"{text[:SHORT_TEXT].rstrip()} …"


def format_number(value: float | None) -> str:
    """Return a score or metric with six digits, a whole number with all of them; a dash for none."""
    if value is None:
        return "–"  # noqa: RUF001, the typographic dash
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def format_whole(value: int) -> str:
    """Return a whole number in groups of three digits."""
    return f"{value:,}"


def format_minute(value: datetime | None) -> str:
    """Return a time to the minute, in UTC; a dash for none."""
    return "–" if value is None else value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")  # noqa: RUF001


def format_day(value: datetime) -> str:
    """Return the day of a time, in UTC."""
    return value.astimezone(timezone.utc).strftime("%Y-%m-%d")


def format_clock(value: datetime) -> str:
    """Return a time without its day, in UTC."""
    return value.astimezone(timezone.utc).strftime("%H:%M:%S UTC")


def format_time(value: datetime | float | None) -> str:
    """Return a time, or seconds since 1970, to the second, in UTC; a dash for none."""
    if value is None:
        return "–"  # noqa: RUF001, the typographic dash
    time = value if isinstance(value, datetime) else datetime.fromtimestamp(value, timezone.utc)
    return time.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def format_pairs(values: Mapping[str, float | None]) -> str:
    """Return metrics on one line."""
    return ", ".join(f"{name} {format_number(value)}" for name, value in values.items())


def format_fact(value: Fact) -> str:
    """Return a fact of a source: times to the second, and large numbers of files and bytes in groups of three digits."""
    if isinstance(value, datetime):
        return format_time(value)
    return format_whole(value) if isinstance(value, int) else value


def format_value(value: Fact | float) -> str:
    """Return a value of a difference."""
    return format_number(value) if isinstance(value, float) else format_fact(value)


def format_chart(chart: Chart) -> str:
    """Return the JSON that the script of the page draws; templates escape it as the value of an attribute."""
    return json.dumps(chart.document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
