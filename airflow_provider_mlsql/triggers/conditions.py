"""Arguments of sensor and triggers, parsed from the text of templates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_mlsql.arguments import parse_optional
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.parsers import BOOLEAN, NOT_NEGATIVE, NUMBER, TEXT, choice, is_nothing, whole
from mlsql_runtime.store.version_condition import VersionCondition

#: The arguments that are conditions.
CONDITIONS = tuple(field.name for field in dataclasses.fields(VersionCondition))
SHORTEST_INTERVAL = 0.1
_ON_LOW_SCORE = choice("wait", "skip", "fail")
_PARSERS = {
    **dict.fromkeys(("job_id", "external_dag_id", "run_id", "metric"), TEXT),
    "min_version": whole(0),
    "min_score": NUMBER,
    "greater_is_better": BOOLEAN,
}


def parse_conditions(given: Mapping[str, Any]) -> VersionCondition:
    """Return the condition that these arguments describe. Text as rendered by templates is parsed.

    :param given: arguments by name; those that are not conditions are ignored.
    """
    return VersionCondition(
        **{name: parse_optional(parser, given.get(name), name) for name, parser in _PARSERS.items()},
        published_after=parse_time(given.get("published_after"), "published_after"),
        on_low_score=parse_optional(_ON_LOW_SCORE, given.get("on_low_score"), "on_low_score") or "wait",
    )


def parse_interval(value: Any) -> float:
    """Return ``poke_interval`` in seconds, at least the shortest one: a triggerer must not ask a storage without a rest.

    Text that is not a number would stop all who wait in the same path.
    """
    seconds: float = NOT_NEGATIVE.parse(value, "poke_interval")
    return max(seconds, SHORTEST_INTERVAL)


def parse_time(value: datetime | str | None, what: str) -> datetime | None:
    """Return a time, in UTC if it has no zone."""
    if is_nothing(value):
        return None
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise InputError(f"{what} is {value!r}; expected a time such as 2026-01-31T08:00:00+00:00") from None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def refuse_password(model_path: str) -> None:
    """Refuse a URI with a password: Airflow keeps the arguments of triggers in its database and shows them in logs.

    :raises InputError: without the password in it.
    """
    if "://" in model_path and urlsplit(model_path).password is not None:
        scheme, host = model_path.split("://", 1)[0], model_path.rsplit("@", 1)[-1]
        raise InputError(
            f"{scheme}://…@{host} holds a password, which arguments of triggers must not; "
            "give it by the means of the storage, such as environment variables of the triggerer"
        )
