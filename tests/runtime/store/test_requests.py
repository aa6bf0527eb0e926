"""How many requests the store makes to S3: what a listing costs must not grow with each version, or with its files."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.pruning import prune
from mlsql_runtime.store.staging import open_staging
from mlsql_runtime.store.summary import summarize
from mlsql_runtime.store.verification import verify_files
from mlsql_runtime.store.version_condition import VersionCondition
from mlsql_runtime.store.version_watch import VersionSearch, VersionWatch
from mlsql_runtime.store.versions import open_store, read_manifest, read_states

Counting = Callable[[], AbstractContextManager[list[str]]]
Publish = Callable[..., Manifest]


@pytest.fixture
def s3_root(s3_server: str) -> Iterator[Location]:
    """A model path on S3 that does not exist yet."""
    place = Location.of(f"{s3_server}/{uuid.uuid4().hex}/digits")
    yield place
    place.remove()


@pytest.fixture
def counting(s3_root: Location) -> Iterator[Counting]:
    """The names of the requests that are sent in a block."""
    s3_root.exists()  # connects
    events, sent = s3_root.fs.s3.meta.events, []

    def note(event_name: str, **_: object) -> None:
        sent.append(event_name.rpartition(".")[2])

    @contextmanager
    def count() -> Iterator[list[str]]:
        sent.clear()
        yield sent

    events.register_first("before-send.s3", note)
    yield count
    events.unregister("before-send.s3", note)


def test_the_newest_manifest_is_a_listing_and_a_file(s3_root: Location, counting: Counting, publish: Publish) -> None:
    for count in (1, 4):
        while not layout.version_dir(s3_root, count).exists():
            publish(s3_root)
        (layout.version_dir(s3_root, count) / "model/0/more").write(b"x" * 100_000)
        with counting() as sent:
            read_manifest(s3_root)
        assert sent == ["ListObjectsV2", "GetObject"]
        with counting() as sent:
            read_manifest(s3_root, 1)
        assert sent == ["GetObject"]


def test_pruning_looks_at_all_versions_at_once(s3_root: Location, counting: Counting, publish: Publish) -> None:
    publish(s3_root)
    seen = []
    for keep in (None, 40):
        for _ in range(4):
            publish(s3_root)
        with counting() as sent:
            assert prune(s3_root, keep) == []
        seen.append(len(sent))
        assert set(sent) == {"ListObjectsV2"}
    with counting() as sent:
        prune(s3_root, None)
    assert [len(sent), seen[1]] == [seen[0], seen[0] + 2]  # with 9 versions as many as with 5; the functions beside
    with counting() as sent:
        assert len(read_states(s3_root)) == 9
    assert sent == ["ListObjectsV2", "ListObjectsV2"]


def test_the_age_of_a_staging_folder_is_known_by_its_listing(s3_root: Location, counting: Counting, publish: Publish) -> None:
    publish(s3_root)
    for number in range(9):
        (s3_root / layout.STAGING / "another" / f"part-{number}").write(b"x")
    with counting() as sent:
        prune(s3_root, None)
    assert set(sent) == {"ListObjectsV2"}


def test_a_sensor_asks_twice_each_time_that_nothing_is_new(s3_root: Location, counting: Counting, publish: Publish) -> None:
    watch, search = VersionWatch(s3_root), VersionSearch(VersionCondition(job_id="another"))
    for _ in range(5):
        publish(s3_root)
    with counting() as sent:
        watch.refresh()
        search.answer(watch)
    assert sorted(sent) == ["GetObject"] * 5 + ["ListObjectsV2"]
    with counting() as sent:
        watch.refresh()
        search.answer(watch)
    assert sorted(sent) == ["GetObject", "ListObjectsV2"]  # the newest might be another one in a store that was begun anew


def test_a_summary_reads_the_manifests_it_shows(s3_root: Location, counting: Counting, publish: Publish) -> None:
    for _ in range(5):
        publish(s3_root)
    with counting() as sent:
        summarize(open_store(s3_root.uri), limit=3)
    assert sent.count("GetObject") == 3
    assert len(sent) <= 3 + 5


def test_verifying_asks_for_each_file_once(s3_root: Location, counting: Counting, publish: Publish) -> None:
    manifest = publish(s3_root, 0.1, 0.2, 0.3)
    with counting() as sent:
        verify_files(layout.version_dir(s3_root, 1), manifest.files)
    assert sorted(sent) == ["GetObject"] * 3 + ["HeadObject"] * 3


def test_a_staging_folder_comes_and_goes_in_few_requests(s3_root: Location, counting: Counting, publish: Publish) -> None:
    publish(s3_root)
    with counting() as sent, open_staging(s3_root, "job"):
        pass
    assert len(sent) <= 7
