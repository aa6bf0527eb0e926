"""The time zone of Spark sessions on this machine, found without one."""

from __future__ import annotations

import contextlib
import os
import zoneinfo


def find_session_zone() -> str:
    """Return the name of the time zone that a Spark session on this machine would have."""
    for name in (os.environ.get("TZ", "").lstrip(":"), os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]):
        with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return zoneinfo.ZoneInfo(name).key
    return "UTC"
