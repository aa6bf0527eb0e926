"""The overview of a model path, and what it keeps of versions that have ended."""

from __future__ import annotations

from pathlib import Path

from support.registrations import refuse, register
from support.stores import T0, fail, half_written, publish

from mlsql_runtime.plan import TaskTry
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.overview import VersionCache, read_overview
from mlsql_runtime.store.versions import open_store

TASK = TaskTry(dag_id="d", task_id="t", map_index=None, run_id="r", try_number=1)


def test_versions_functions_refusals_and_failures(tmp_path: Path) -> None:
    root = str(tmp_path)
    publish(root, 0.5, 0.75, metrics={"loss": 0.1}, others={"loss": 0.2}, task=TASK)
    register(Location.of(root), "jack", 1, 0.75)
    publish(root, 0.25)
    refuse(Location.of(root), "jack", 2)
    refuse(Location.of(root), "jill", 2)
    fail(root, "no good", task=TASK)
    overview = read_overview(open_store(root))
    failed, second, first = overview.versions
    assert (failed.state, failed.reason, failed.task) == ("failed", "no good", TASK)
    assert (first.state, first.score, first.metrics, first.groups, first.task) == ("complete", 0.75, {"loss": 0.2}, 2, TASK)
    assert (first.created, first.code == second.code, first.environment == second.environment) == (T0, True, True)
    assert (overview.newest, overview.last_failure, overview.more) == (second, failed, 0)
    jack, jill = overview.functions
    assert jack.current is not None
    assert (jack.current.version, len(jack.refusals), jill.current, len(jill.refusals)) == (1, 1, None, 1)
    assert overview.last_refusal is not None
    assert overview.last_refusal[0] == "jill"


def test_the_newest_are_shown_and_others_counted(tmp_path: Path) -> None:
    for _ in range(3):
        publish(str(tmp_path), 0.5)
    overview = read_overview(open_store(str(tmp_path)), limit=2)
    assert ([version.version for version in overview.versions], overview.more) == ([3, 2], 1)


def test_what_cannot_be_read_says_why_and_hides_nothing_else(tmp_path: Path) -> None:
    root = str(tmp_path)
    half_written(root)
    publish(root, 0.5)
    publish(root, 0.6)
    register(Location.of(root), "jack", 2)
    register(Location.of(root), "jill", 2)
    (tmp_path / "_model_2/manifest.json").write_text("{")
    (tmp_path / "_functions/jill/current.json").write_text("{")
    overview = read_overview(open_store(root))
    assert [version.state for version in overview.versions] == ["complete", "unreadable", "unfinished"]
    assert "manifest.json: this is not JSON" in str(overview.versions[1].reason)
    jack, jill = overview.functions
    assert (jack.error, jill.history) == (None, ())
    assert "current.json: this is not JSON" in str(jill.error)


def test_ended_versions_are_read_once(tmp_path: Path) -> None:
    root, cache = str(tmp_path), VersionCache()
    publish(root, 0.5)
    publish(root, 0.6)
    fail(root, "no good")
    before = read_overview(open_store(root), cache=cache)
    (tmp_path / "_model_2/manifest.json").write_text("damaged, but nobody looks")
    assert read_overview(open_store(root), cache=cache) == before
    publish(root, 0.7)
    assert [version.score for version in read_overview(open_store(root), cache=cache).versions] == [0.7, None, 0.6, 0.5]


def test_a_model_path_that_was_made_again_is_read_again(tmp_path: Path) -> None:
    cache = VersionCache()
    for score in (0.5, 0.6):
        publish(str(tmp_path / "m"), score)
    read_overview(open_store(str(tmp_path / "m")), cache=cache)
    (tmp_path / "m").rename(tmp_path / "old")
    for score in (0.1, 0.2, 0.3):
        publish(str(tmp_path / "m"), score)
    assert [each.score for each in read_overview(open_store(str(tmp_path / "m")), cache=cache).versions] == [0.3, 0.2, 0.1]


def test_the_cache_holds_the_versions_used_last(tmp_path: Path) -> None:
    root, cache = str(tmp_path), VersionCache(size=2)
    for _ in range(3):
        publish(root, 0.5)
    read_overview(open_store(root), cache=cache)
    assert [cache.get(Location.of(root), version) is None for version in (1, 2, 3)] == [False, False, True]
