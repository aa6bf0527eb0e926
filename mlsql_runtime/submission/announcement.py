"""The line by which a Spark application says that it has started, and where it can be watched."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlsql_runtime.events import OURS

_LINE = re.compile(
    rf"\[{OURS}\] Spark (?P<spark>\S+) on (?P<master>\S+), application (?P<application>[^\s,]+), (?P<ui>https?://[^\s,]+|no UI)"
    r"(?:, history (?P<history>https?://\S+))?$"
)


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """A Spark application that has started.

    ``ui`` is the address of its UI, which goes with it, None when it has none; ``history`` is where the history server shows
    it afterwards, None unless there is one and events are kept for it.
    """

    spark: str
    master: str
    application: str
    ui: str | None
    history: str | None

    @property
    def line(self) -> str:
        """What the application prints, without the label of its lines."""
        history = f", history {self.history}" if self.history else ""
        return f"Spark {self.spark} on {self.master}, application {self.application}, {self.ui or 'no UI'}{history}"


def parse_announcement(line: str) -> Announcement | None:
    """What a line of the application's output announces; None for any other line."""
    found = _LINE.match(line)
    if found is None:
        return None
    ui = None if found["ui"] == "no UI" else found["ui"]
    return Announcement(
        spark=found["spark"], master=found["master"], application=found["application"], ui=ui, history=found["history"]
    )


def history_address(server: str | None, keeps_events: bool, application: str) -> str | None:
    """Where a history server shows an application.

    :param server: ``spark.yarn.historyServer.address``, which Spark writes without a scheme.
    :param keeps_events: ``spark.eventLog.enabled``, without which the server never hears of the application.
    """
    if not server or not keeps_events or "${" in server:  # YARN's own variables, which only its resource manager knows
        return None
    root = server if "://" in server else f"http://{server}"
    return f"{root.rstrip('/')}/history/{application}/"
