"""What tests of the model store and of the sensor share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_states

T0 = datetime(2026, 1, 1, tzinfo=timezone.utc)
Store = Callable[..., None]


def latest_version(root: Location) -> int | None:
    """The newest complete version."""
    return next((number for number, state in read_states(root).items() if state == "complete"), None)
