"""What tests of the model store and of the sensor share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import list_versions

T0 = datetime(2026, 1, 1, tzinfo=timezone.utc)
Store = Callable[..., None]


def latest_version(root: Location) -> int | None:
    """The newest complete version."""
    return next((info.version for info in list_versions(root) if info.state == "complete"), None)
