"""The line by which a Spark application says that it has started."""

from __future__ import annotations

import re

from mlsql_runtime.events import OURS, ApplicationStarted

_LINE = re.compile(
    rf"\[{OURS}\] Spark (?P<spark>\S+) on (?P<master>\S+), application (?P<application>[^\s,]+), (?P<ui>https?://[^\s,]+|no UI)"
    r"(?:, history (?P<history>https?://\S+))?$"
)


def parse_announcement(line: str) -> ApplicationStarted | None:
    """Return what a line of the application's output announces; None for any other line."""
    found = _LINE.match(line)
    if found is None:
        return None
    ui = None if found["ui"] == "no UI" else found["ui"]
    return ApplicationStarted(
        spark=found["spark"], master=found["master"], application=found["application"], ui=ui, history=found["history"]
    )
