"""Model stores with versions and failures in them, written as training writes them, without training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sensors import GatedFileSystem, gated
from support.stores import Store, fail, publish


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Publish the next version, or a failure; ``created`` is that many days after T0."""

    def add(
        score: float | None = 0.9, job: str = "job", created: int = 0, failure: str | None = None, maximise: bool = True
    ) -> None:
        root = str(tmp_path / "m")
        if failure is not None:
            fail(root, failure, job, created)
        else:
            publish(root, score, job=job, created=created, maximise=maximise, metrics={"loss": 0.1})

    return add


@pytest.fixture
def gate() -> Iterator[type[GatedFileSystem]]:
    """Storage whose listings a test lets through one by one."""
    with gated() as storage:
        yield storage
