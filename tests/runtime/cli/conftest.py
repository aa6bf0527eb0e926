"""A command in a folder of its own, and model stores with functions."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.fit_command import FitCommand
from support.model_commands import Publish, PublishSources
from support.registrations import register
from support.stores import open_root

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import FitRecord, Manifest
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.store.signature import Signature
from mlsql_runtime.store.sources import Source


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> FitCommand:
    return FitCommand(tmp_path, monkeypatch, capsys)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT interrupts, also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=["local"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    """A model path that does not exist yet; on S3, too, where a test has ``EVERY_STORAGE``, as one test of each command has.

    What a command calls is tested on S3 in ``tests/runtime/store``.
    """
    with open_root(request.param, tmp_path, request) as place:
        yield place


@pytest.fixture
def publish_sources(manifest_of: Callable[..., Manifest], fit_record: Callable[..., FitRecord]) -> PublishSources:
    """``publish_sources(root, *sources)`` publishes the next version, which was trained from these, perhaps with a signature."""

    def make(root: Location, *sources: Source, signature: Signature | None = None) -> None:
        with claim_version(root, "job-1") as draft:
            (draft.folder / "model/0/model.bin").write(b"weights")
            manifest = manifest_of(draft.version, [fit_record(0, 0.5)], draft.file_entries())
            draft.publish(replace(manifest, sources=sources, signature=signature))

    return make


@pytest.fixture
def registered(root: Location, publish: Publish) -> Location:
    """Three versions; jack was registered for each of them in turn."""
    for version in (1, 2, 3):
        publish(root, version / 4)
        register(root, "jack", version, version / 4)
    return root


@pytest.fixture
def on_disk(local_root: Location, publish: Publish) -> Location:
    """The same, on the disk."""
    for version in (1, 2, 3):
        publish(local_root, version / 4)
        register(local_root, "jack", version, version / 4)
    return local_root
