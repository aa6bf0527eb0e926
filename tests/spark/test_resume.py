"""A training that is interrupted, and the next attempt of its job: what was finished is not done again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.workbench import EXAMPLES, Run, Script

from mlsql_runtime.plan import Attempt, KafkaFeed, Load, Register, Train
from mlsql_runtime.result import RegisterResult, RunResult, TrainResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.store.staging import remove_staging_folders
from mlsql_runtime.store.verification import verify_files
from mlsql_runtime.store.versions import read_manifest, read_states

if TYPE_CHECKING:
    from mlsql_runtime.kafka.settings import KafkaSettings

FIRST = Attempt(is_last=False)
SECOND = Attempt(earlier_since=datetime.now(timezone.utc), is_last=False)
LAST = Attempt(earlier_since=SECOND.earlier_since)

# Each group notes that it ran and what it saw. Group 1 loses its Spark worker, once, when group 0 is finished.
SOURCE = """
import glob, json, os, time
import psutil
import mlsql, mlsql_model

index = mlsql.internal_system_param["algIndex"]
rows = [row["id"] for batch in mlsql.read_data()(max_records=50) for row in batch]
held, _ = mlsql.get_validate_data()
with open(os.path.join(mlsql.fit_param["notes"], "ran"), "a") as notes:
    notes.write(json.dumps([index, sum(rows), len(rows), len(held)]) + "\\n")
lost = os.path.join(mlsql.fit_param["notes"], "lost")
if index == "1" and not os.path.exists(lost):
    while not glob.glob(mlsql.fit_param["model"] + "/_staging/*/fit-0-*/finished.json"):
        time.sleep(0.05)
    open(lost, "w").close()
    psutil.Process().parents()[1].kill()
    time.sleep(600)
mlsql_model.sk_save_model(sum(rows))
print("mlsql_validation_score:0." + index)
"""


class Bench:
    """A training of three groups in a folder of its own."""

    def __init__(self, run: Run, script: Script, folder: Path, feed: KafkaFeed | None = None) -> None:
        self._run, self._script, self._folder, self._feed = run, script, folder, feed
        self.model = folder / "m"
        self.root = Location.of(str(self.model))
        self.script = script(SOURCE)
        self.rows = [{"id": id, "label": 1.0, "features": [float(id), 1.0]} for id in range(100)]
        self.fraction: float | None = None

    def attempt(self, attempt: Attempt, job_id: str = "job") -> RunResult:
        file = self._folder / "rows.json"
        file.write_text("\n".join(map(json.dumps, self.rows)))
        load = Load(table="rows", format="json", path=str(file))
        return self._run(load, self._train(), job_id=job_id, attempt=attempt)

    def _train(self) -> Train:
        group = {"notes": str(self._folder), "model": str(self.model)}
        feed = {} if self._feed is None else {"feed": self._feed}
        return Train(
            table="rows",
            model_path=str(self.model),
            script_path=self.script,
            fit_params=(group, group, group),
            validate_fraction=self.fraction,
            **feed,  # type: ignore[arg-type]
        )

    def ran(self) -> list[list[Any]]:
        """Of each time that a group ran: its index, and what it saw: sum and number of its rows, rows to validate with."""
        lines = (self._folder / "ran").read_text().splitlines()
        return sorted(json.loads(line) for line in lines)

    def groups(self) -> list[str]:
        return [each[0] for each in self.ran()]


@pytest.fixture
def bench(run: Run, script: Script, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(run, script, tmp_path)
    yield bench
    assert not [name for name in bench.root.list_files() if name.startswith("_staging")], "a last attempt leaves nothing"


def trained(result: RunResult) -> TrainResult:
    result.raise_for_error()
    step = result.steps[-1]
    assert isinstance(step, TrainResult)
    return step


def test_a_retry_trains_only_the_groups_that_are_missing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.fraction = 0.3
    lost = bench.attempt(FIRST)
    assert lost.error is not None
    assert lost.error["kind"] == "JobFailed"
    assert read_states(bench.root) == {}
    assert "the next attempt will resume from" in capsys.readouterr().out
    step = trained(bench.attempt(LAST))
    assert bench.groups().count("0") == 1
    assert bench.groups().count("1") == 2
    assert len({tuple(seen) for _, *seen in bench.ran()}) == 1  # all of them saw the same rows, held-out ones included
    assert (step.version, step.score, [fit.status for fit in step.fits]) == (1, 0.2, ["success"] * 3)
    manifest = read_manifest(bench.root)
    verify_files(bench.root / "_model_1", manifest.files)
    assert {f"model/{index}/model.pickle" for index in range(3)} < {entry.path for entry in manifest.files}
    told = capsys.readouterr().out
    assert "files of the earlier attempt, " in told
    assert "fit 0: success, score 0.0, " in told
    assert " s, by an earlier attempt" in told


def test_a_retry_takes_the_rows_of_the_first_attempt_whatever_the_table_holds_by_now(bench: Bench) -> None:
    bench.attempt(FIRST)
    bench.rows = bench.rows[:40]
    assert trained(bench.attempt(LAST)).rows == 100
    assert {tuple(seen) for _, *seen in bench.ran()} == {(4950, 100, 0)}


@pytest.mark.parametrize("changed", ["script", "statement"])
def test_after_a_change_everything_is_trained_anew(bench: Bench, changed: str, script: Script) -> None:
    bench.attempt(FIRST)
    if changed == "script":
        script(SOURCE + "\n# mended\n")
    else:
        bench.fraction = 0.5
    assert trained(bench.attempt(LAST)).version == 1
    assert bench.groups().count("0") == 2
    remove_staging_folders(bench.root, "job")  # as whoever submitted the job does


def test_a_version_that_was_published_is_answered_and_not_trained_again(bench: Bench) -> None:
    (bench.model.parent / "lost").touch()
    step = trained(bench.attempt(FIRST))
    again = trained(bench.attempt(LAST))
    assert again == step
    assert bench.groups() == ["0", "1", "2"]
    assert list(read_states(bench.root)) == [1]


def test_another_job_of_the_same_training_trains(bench: Bench) -> None:
    (bench.model.parent / "lost").touch()
    trained(bench.attempt(FIRST, job_id="task/run/0"))
    assert trained(bench.attempt(LAST, job_id="task/run/1")).version == 2
    assert bench.groups() == ["0", "0", "1", "1", "2", "2"]


def test_an_attempt_killed_while_it_published_is_finished_by_the_next_one(bench: Bench) -> None:
    bench.attempt(FIRST)
    (stage,) = (bench.root / "_staging").list_names()
    training = json.loads((bench.root / "_staging" / stage / "progress.json").read())["training"]
    killed = claim_version(bench.root, "job", training)
    draft = killed.__enter__()
    (draft.folder / "logs/0.log").write(b"half")
    assert trained(bench.attempt(LAST)).version == 1
    assert bench.groups().count("0") == 1
    assert list(read_states(bench.root).values()) == ["complete"]


def test_an_attempt_interrupted_twice_goes_on_from_both(bench: Bench, tmp_path: Path) -> None:
    bench.attempt(FIRST)
    (tmp_path / "lost").unlink()
    bench.attempt(SECOND)
    assert bench.groups().count("1") == 2
    assert trained(bench.attempt(LAST)).version == 1
    assert bench.groups().count("0") == 1


def test_without_another_attempt_nothing_is_kept(bench: Bench) -> None:
    assert bench.attempt(Attempt()).error is not None
    assert not bench.model.exists()


def test_progress_that_cannot_be_read_is_of_no_use_and_told(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.attempt(FIRST)
    (stage,) = (bench.root / "_staging").list_names()
    (bench.root / "_staging" / stage / "progress.json").replace(b'{"resume_version": 99}')
    assert trained(bench.attempt(LAST)).version == 1
    assert bench.groups().count("0") == 2
    assert "the work of an earlier attempt cannot be used" in capsys.readouterr().out


def test_a_damaged_answer_of_a_group_is_of_no_use_and_told(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.attempt(FIRST)
    (stage,) = (bench.root / "_staging").list_names()
    folder = bench.root / "_staging" / stage
    (group,) = [name for name in folder.list_names() if name.startswith("fit-0-")]
    (folder / group / "finished.json").replace(b'{"record": ')
    assert trained(bench.attempt(LAST)).version == 1
    assert bench.groups().count("0") == 2
    assert "the work of an earlier attempt cannot be used" in capsys.readouterr().out


def test_groups_of_other_packages_are_trained_anew_on_the_same_rows(bench: Bench) -> None:
    bench.attempt(FIRST)
    (stage,) = (bench.root / "_staging").list_names()
    place = bench.root / "_staging" / stage / "progress.json"
    noted = json.loads(place.read())
    assert "scikit-learn" in noted["environment"]
    noted["environment"]["scikit-learn"] = "0.1"
    place.replace(json.dumps(noted).encode())
    bench.rows = bench.rows[:40]
    assert trained(bench.attempt(LAST)).rows == 100
    assert bench.groups().count("0") == 2


def test_what_follows_takes_the_version_of_this_job_whatever_was_published_meanwhile(
    run: Run, script: Script, tmp_path: Path
) -> None:
    bayes, predict = str(EXAMPLES / "train_bayes.py"), str(EXAMPLES / "predict_bayes.py")
    train = Train(table="data", model_path=str(tmp_path / "m"), script_path=bayes, keep_versions=1)
    register = Register(model_path=str(tmp_path / "m"), function="jack", script_path=predict)
    run(train, job_id="task", attempt=FIRST).raise_for_error()
    run(replace(train, keep_versions=None), job_id="other").raise_for_error()
    result = run(train, register, job_id="task", attempt=LAST)
    registered = result.steps[-1]
    assert isinstance(registered, RegisterResult)
    assert (trained(replace(result, steps=result.steps[:1])).version, registered.version) == (1, 1)
    assert list(read_states(Location.of(str(tmp_path / "m")))) == [2, 1]  # keep_versions spares the answer


@pytest.fixture
def feed(kafka_settings: KafkaSettings) -> KafkaFeed:
    return KafkaFeed(topic="resume", settings=kafka_settings.public)


def test_through_kafka_the_same_table_is_recognised(run: Run, script: Script, tmp_path: Path, feed: KafkaFeed) -> None:
    bench = Bench(run, script, tmp_path, feed)
    bench.fraction = 0.2
    assert bench.attempt(FIRST).error is not None
    assert trained(bench.attempt(LAST)).version == 1
    assert bench.groups().count("0") == 1
    assert len({tuple(seen) for _, *seen in bench.ran()}) == 1


def test_through_kafka_another_table_is_trained_from_anew(
    run: Run, script: Script, tmp_path: Path, feed: KafkaFeed, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(run, script, tmp_path, feed)
    assert bench.attempt(FIRST).error is not None
    bench.rows[7]["features"] = [8.0, 1.0]
    assert trained(bench.attempt(LAST)).rows == 100
    assert "the table has changed since the earlier attempt" in capsys.readouterr().out
    assert bench.groups().count("0") == 2
