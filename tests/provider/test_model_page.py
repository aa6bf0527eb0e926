"""The list of models, and the page of one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.registrations import refuse, register
from support.stores import fail, make_fit_record, make_manifest, publish

from airflow_provider_mlsql.pages.html import render_page
from airflow_provider_mlsql.pages.model_list import ModelReader
from airflow_provider_mlsql.pages.model_view import ModelView
from mlsql_runtime.plan import TaskTry
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import ScriptFacts
from mlsql_runtime.store.overview import VersionCache
from mlsql_runtime.store.pruning import prune
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.store.rollback import choose_rollback, roll_back

TASK = TaskTry(dag_id="nightly", task_id="train", map_index=None, run_id="r", try_number=1)


@pytest.fixture
def reader() -> ModelReader:
    return ModelReader(VersionCache())


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Five versions: jack was the first, refused the third, and is the second; the fourth failed."""
    root = str(tmp_path / "m")
    for number, score in enumerate((0.5, 0.75, 0.25)):
        publish(root, score, created=number, metrics={"loss": 1 - score}, task=TASK)
    fail(root, "no <good>", created=3, task=TASK)
    publish(root, 0.6, created=4)
    place = Location.of(root)
    register(place, "jack", 1, 0.5)
    register(place, "jack", 2, 0.75)
    refuse(place, "jack", 3)
    return root


def page(view: ModelView, metric: str | None = None, x: str = "version", readable: bool = True, versions: int = 100) -> str:
    view = view.hide_tasks(lambda dag_id: readable)
    chart = view.make_chart(metric, x == "time")
    values = {"metric": metric, "x": x, "versions": versions, "most": 1000}
    return render_page("model.html", view=view, chart=chart, **values)


def test_the_questions_are_answered(reader: ModelReader, root: str) -> None:
    text = page(reader.read(root, 100))
    for part in (
        "higher is better: better than version 3 (0.25); the best is version 2 (0.75)",
        ">version 2</a></b>function version 2</div>",
        "<div>score<b>0.75</b>",
        " UTC, by ann</div>",
        "<p>Registered because: score 0.75 is at least 0</p>",
        "<div>refused<b>1 time</b>in the last 7 days</div>",
        f'<pre class="command">mlsql rollback {root} jack --to 1</pre>',
        "<td>bob</td>",
        "version 3 is worse",
        "no &lt;good&gt;",
        '<a href="/dags/nightly/runs/r/tasks/train">nightly.train</a>',
    ):
        assert part in text
    assert "no <good>" not in text


def test_the_chart_marks_what_happened_to_versions(reader: ModelReader, root: str) -> None:
    chart = reader.read(root, 100).make_chart(None, is_time=False)
    assert chart is not None
    assert chart.x == (1, 2, 3, 4, 5)
    assert {line.label: line.values for line in chart.lines} == {
        "score": (0.5, 0.75, 0.25, None, 0.6),
        "refused": (None, None, 0.25, None, None),
        "current": (None, 0.75, None, None, None),
        "failed": (None, None, None, 0.25, None),
    }


def test_time_and_other_metrics_can_be_the_axes(reader: ModelReader, root: str) -> None:
    view = reader.read(root, 100)
    chart = view.make_chart("loss", is_time=True)
    assert chart is not None
    assert (chart.is_time, chart.x[1] - chart.x[0]) == (True, 86400)
    assert chart.lines[0].values == (0.5, 0.25, 0.75, None, None)
    assert '<a href="/mlsql/model?' in (text := page(view, "loss", "time"))
    assert "<figcaption>loss over versions</figcaption>" in text
    assert view.make_chart("no such metric", is_time=False) is None


def test_what_changed_since_the_version_before_is_marked(reader: ModelReader, root: str) -> None:
    with claim_version(Location.of(root), "job") as draft:
        (draft.folder / "model/0/model.pickle").write(b"model")
        new = {"script": ScriptFacts(name="t.py", sha256="new"), "environment": {"python": "3.13"}}
        draft.publish(make_manifest(draft.version, [make_fit_record(0, 0.5)], files=draft.file_entries(), **new))
    assert [changes for _, changes in reader.read(root, 100).rows] == [("code", "environment"), (), (), (), (), ()]


def test_tasks_of_dags_that_the_user_must_not_see_are_not_named(reader: ModelReader, root: str) -> None:
    view = reader.read(root, 100)
    assert "nightly" not in page(view, readable=False)
    hidden = view.hide_tasks(lambda dag_id: False)
    assert {version.task for version in hidden.overview.versions} == {None}
    assert {entry.job_id for function in hidden.overview.functions for entry in function.history} == {None}


def test_more_versions_can_be_asked_for(reader: ModelReader, root: str) -> None:
    text = page(reader.read(root, 2), versions=2)
    assert "3 older versions not shown." in text
    assert "versions=1000" in text


def test_packages_before_the_current_one_are_the_first_to_go_back_to(reader: ModelReader, root: str) -> None:
    place = Location.of(root)
    register(place, "jack", 5, 0.6)
    roll_back(place, choose_rollback(place, "jack"), "ann")
    view = reader.read(root, 100)
    assert [entry.version for entry, _ in view.list_rollbacks(view.overview.functions[0])] == [1, 5]


def test_a_long_history_shows_its_newest_events(reader: ModelReader, root: str) -> None:
    for number in range(101):
        refuse(Location.of(root), "jack", number)  # of which 100 are kept
    text = page(reader.read(root, 100))
    assert "History: 102 events, of which these are the newest 100" in text
    assert text.count("<td>bob</td>") == 100


def test_packages_that_are_gone_are_no_targets_of_a_rollback(reader: ModelReader, root: str) -> None:
    prune(Location.of(root), 3)
    view = reader.read(root, 100)
    assert view.list_rollbacks(view.overview.functions[0]) == []
    assert "registered, gone" in page(view)


def test_the_list_has_each_model_and_says_why_one_cannot_be_read(reader: ModelReader, root: str, tmp_path: Path) -> None:
    publish(str(tmp_path / "<b>other"), 0.5)
    paths = [root, str(tmp_path / "<b>other"), "/of/the/worker", "http://user:secret@host/m"]
    entries = reader.read_all(paths)
    text = render_page("models.html", entries=entries, page=1, pages=1, count=4, wanted="")
    for part in (
        "<b>jack</b> is <a",
        "/of/the/worker does not exist",
        "this page does not read http://host/m",
        '<polyline points="2.0',
        "no &lt;good&gt;",
        "<b>&lt;b&gt;other</b></a>",
    ):
        assert part in text
    assert "secret" not in text


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[list[str]]:
    """Model paths whose reads do not end while the test runs, more than there are threads."""
    manifests = [tmp_path / f"silent-{number}/_model_1/manifest.json" for number in range(9)]
    for manifest in manifests:
        manifest.parent.mkdir(parents=True)
        os.mkfifo(manifest)  # opening it waits for a writer
    yield [str(manifest.parents[1]) for manifest in manifests]
    for manifest in manifests:
        os.close(os.open(manifest, os.O_RDWR))  # now there is one


def test_storage_that_does_not_respond_holds_up_no_other_model(reader: ModelReader, root: str, silent: list[str]) -> None:
    for _ in range(3):  # as often as somebody looks at the page
        reader.read_all(silent, seconds=0.3)
    began = threading.active_count()
    for _ in range(3):
        *slow, quick = reader.read_all([*silent, root], seconds=30)
        assert {(each.view, each.problem) for each in slow} == {(None, "its storage did not respond within 30 seconds")}
        assert quick.view is not None
    assert threading.active_count() <= began + 1


def test_without_models_the_list_says_what_it_waits_for() -> None:
    assert "There is no model here yet." in render_page("models.html", entries=[], page=1, pages=0, count=0, wanted="")
