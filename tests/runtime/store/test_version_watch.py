"""A watch that looks again and again against one that looks for the first time: they must say the same."""

from __future__ import annotations

import random
import uuid
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from support.stores import T0, fail, finish, publish

from mlsql_runtime.errors import FormatError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.publish import VersionDraft, claim_version
from mlsql_runtime.store.version_condition import VersionCondition
from mlsql_runtime.store.version_watch import VersionSearch, VersionWatch

QUESTIONS = [
    VersionCondition(),
    VersionCondition(min_version=4),
    VersionCondition(min_score=0.7),
    VersionCondition(min_score=2.0),
    VersionCondition(min_score=0.7, min_version=5, on_low_score="fail"),
    VersionCondition(job_id="b"),
    VersionCondition(job_id="b", min_score=0.9, on_low_score="skip"),
    VersionCondition(published_after=T0 + timedelta(days=5)),
    VersionCondition(published_after=T0 + timedelta(days=8), min_score=2.0),
]


@pytest.mark.parametrize("seed", range(20))
def test_a_watch_that_goes_on_finds_what_a_new_one_finds(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    root = Location.of(str(tmp_path / "m"))
    watch = VersionWatch(root)
    searches = [VersionSearch(question) for question in QUESTIONS]
    under_way: list[VersionDraft] = []

    def happen(day: int, trainings: ExitStack) -> None:
        what = chance.choice(["publish", "fail", "begin", "begin", "finish", "prune", "nothing"])
        job, score = chance.choice("abc"), round(chance.random(), 2)
        if what == "publish":
            publish(root.uri, score, job=job, created=day)
        elif what == "fail":
            fail(root.uri, f"broken on day {day}", job=job, created=day)
        elif what == "begin":
            under_way.append(trainings.enter_context(claim_version(root, job)))
        elif what == "finish" and under_way:
            draft = under_way.pop(chance.randrange(len(under_way)))
            if draft.is_ours:  # not removed meanwhile
                finish(draft, score, job=job, created=day)
        elif what == "prune" and chance.random() < 0.3:
            (root / chance.choice(root.list_names() or ["nothing"])).remove()

    with ExitStack() as trainings:
        for day in range(30):
            happen(day, trainings)
            watch.refresh()
            anew = VersionWatch(root)
            anew.refresh()
            for search in searches:
                if chance.random() < 0.7:  # not everybody asks each time
                    assert search.answer(watch) == VersionSearch(search.condition).answer(anew), (day, search.condition)


def test_a_training_under_way_does_not_have_everything_looked_through_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path / "m")
    for _ in range(5):
        publish(root)
    (Location.of(root) / "_model_6/claim.json").write(b"{}")
    compared: list[int] = []
    matches = VersionCondition.matches
    monkeypatch.setattr(
        VersionCondition, "matches", lambda self, record: compared.append(record.version) or matches(self, record)
    )
    watch, search = VersionWatch(Location.of(root)), VersionSearch(VersionCondition(job_id="mine"))
    for expected in ([5, 4, 3, 2, 1], [], []):
        compared.clear()
        watch.refresh()
        assert search.answer(watch)["status"] == "waiting"
        assert compared == expected
    publish(root, job="mine")
    compared.clear()
    watch.refresh()
    assert search.answer(watch)["result"]["version"] == 7
    assert compared == [7]


def test_a_damaged_version_that_was_read_ahead_is_an_error_only_for_who_needs_it(s3_server: str) -> None:
    root = Location.of(f"{s3_server}/{uuid.uuid4().hex}/m")
    for job in ("mine", "b", "a", "a"):
        publish(root, job=job)
    (root / "_model_1/manifest.json").replace(b"{")
    watch = VersionWatch(root)
    watch.refresh()
    assert VersionSearch(VersionCondition(job_id="b")).answer(watch)["result"]["version"] == 2
    with pytest.raises(FormatError, match="_model_1"):
        VersionSearch(VersionCondition(job_id="mine")).answer(watch)
