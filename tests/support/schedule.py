"""How xdist distributes the tests: the light tests of a file to one worker, then its other tests to one worker."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


class FileSchedule(LoadScopeScheduling):
    """Assign tests in the order of collection; neighbours from the same file stay together."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False
        self._scopes: dict[str, str] = {}
        self._last = ""

    def _split_scope(self, nodeid: str) -> str:
        """Return the file of a test, with a number that differs between groups of neighbours; the first calls are in order."""
        if nodeid not in self._scopes:
            file = nodeid.partition("::")[0]
            if self._last.partition("#")[0] != file:
                self._last = f"{file}#{len(self._scopes)}"
            self._scopes[nodeid] = self._last
        return self._scopes[nodeid]

    def _reschedule(self, node: Any) -> None:
        """Assign the next tests when a worker begins its last one, not earlier, so that another worker may get them."""
        if node.shutting_down or not self.workqueue or self._pending_of(self.assigned_work[node]) <= 1:
            super()._reschedule(node)
