"""A training that is interrupted, and the next attempt of its job: what was finished is not done again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.workbench import RunPlan, Script

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

    def __init__(self, run_plan: RunPlan, folder: Path, feed: KafkaFeed | None = None) -> None:
        self._run, self._folder, self._feed = run_plan, folder, feed
        self.model = folder / "m"
        self.root = Location.of(str(self.model))
        self.rows = [{"id": id, "label": 1.0, "features": [float(id), 1.0]} for id in range(100)]
        self.fraction: float | None = None
        self._has_validation = False
        self.write_script(SOURCE)

    def write_script(self, source: str) -> None:
        (self._folder / "script.py").write_text(source)

    def write_validation(self, rows: int) -> None:
        """Write a stored table to validate with."""
        pq.write_table(pa.Table.from_pylist(self.rows[:rows]), self._folder / "held.parquet")
        self._has_validation = True

    def attempt(self, attempt: Attempt, job_id: str = "job") -> RunResult:
        file = self._folder / "rows.json"
        file.write_text("\n".join(map(json.dumps, self.rows)))
        loads = [Load(table="rows", format="json", path=str(file))]
        if self._has_validation:
            loads.append(Load(table="held", format="parquet", path=str(self._folder / "held.parquet")))
        return self._run(*loads, self._train(), job_id=job_id, attempt=attempt)

    def _train(self) -> Train:
        group = {"notes": str(self._folder), "model": str(self.model)}
        feed = {} if self._feed is None else {"feed": self._feed}
        return Train(
            table="rows",
            model_path=str(self.model),
            script_path=str(self._folder / "script.py"),
            fit_params=(group, group, group),
            validate_fraction=self.fraction,
            validate_table="held" if self._has_validation else None,
            **feed,  # type: ignore[arg-type]
        )

    @property
    def lost(self) -> Path:
        """The file that says that the worker of group 1 was killed already."""
        return self._folder / "lost"

    def stage(self) -> Location:
        """Return the only staging folder."""
        (name,) = (self.root / "_staging").list_names()
        return self.root / "_staging" / name

    def ran(self) -> list[list[Any]]:
        """Of each time that a group ran: its index, and what it saw: sum and number of its rows, rows to validate with."""
        lines = (self._folder / "ran").read_text().splitlines()
        return sorted(json.loads(line) for line in lines)

    def groups(self) -> list[str]:
        return [each[0] for each in self.ran()]


@contextmanager
def leaving_nothing(bench: Bench) -> Iterator[Bench]:
    yield bench
    assert not [name for name in bench.root.list_files() if name.startswith("_staging")], "a last attempt leaves nothing"


@pytest.fixture
def bench(run_plan: RunPlan, tmp_path: Path) -> Iterator[Bench]:
    """A training that has not begun."""
    with leaving_nothing(Bench(run_plan, tmp_path)) as bench:
        yield bench


@pytest.fixture(scope="module")
def interrupted_once(run_plan: RunPlan, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a training after a first attempt that was interrupted, and a copy of it."""
    folder, copy = tmp_path_factory.mktemp("interrupted"), tmp_path_factory.mktemp("copy") / "of"
    assert Bench(run_plan, folder).attempt(FIRST).error is not None
    shutil.copytree(folder, copy)
    return folder, copy


@pytest.fixture
def interrupted(run_plan: RunPlan, interrupted_once: tuple[Path, Path]) -> Iterator[Bench]:
    """A training after a first attempt that was interrupted; each test gets the folder as that attempt left it."""
    folder, copy = interrupted_once
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    with leaving_nothing(Bench(run_plan, folder)) as bench:
        yield bench


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


def test_a_retry_takes_the_rows_of_the_first_attempt_whatever_the_table_holds_by_now(interrupted: Bench) -> None:
    size = len("\n".join(map(json.dumps, interrupted.rows)))
    interrupted.rows = interrupted.rows[:40]
    assert trained(interrupted.attempt(LAST)).rows == 100
    assert {tuple(seen) for _, *seen in interrupted.ran()} == {(4950, 100, 0)}
    (source,) = read_manifest(interrupted.root).sources
    assert source.files is not None
    assert source.files.size == size


@pytest.mark.parametrize("changed", ["script", "statement"])
def test_after_a_change_all_groups_are_trained_again(interrupted: Bench, changed: str) -> None:
    if changed == "script":
        interrupted.write_script(SOURCE + "\n# mended\n")
    else:
        interrupted.fraction = 0.5
    assert trained(interrupted.attempt(LAST)).version == 1
    assert interrupted.groups().count("0") == 2
    remove_staging_folders(interrupted.root, "job")  # as the job's submitter does


def test_a_published_version_is_returned_and_not_trained_again(bench: Bench) -> None:
    bench.lost.touch()
    step = trained(bench.attempt(FIRST))
    again = trained(bench.attempt(LAST))
    assert again == step
    assert bench.groups() == ["0", "1", "2"]
    assert list(read_states(bench.root)) == [1]


def test_another_job_of_the_same_training_trains(bench: Bench) -> None:
    bench.lost.touch()
    trained(bench.attempt(FIRST, job_id="task/run/0"))
    assert trained(bench.attempt(LAST, job_id="task/run/1")).version == 2
    assert bench.groups() == ["0", "0", "1", "1", "2", "2"]


def test_an_attempt_killed_while_it_published_is_finished_by_the_next_one(interrupted: Bench) -> None:
    training = json.loads((interrupted.stage() / "progress.json").read())["training"]
    killed = claim_version(interrupted.root, "job", training)
    draft = killed.__enter__()
    (draft.folder / "logs/0.log").write(b"half")
    assert trained(interrupted.attempt(LAST)).version == 1
    assert interrupted.groups().count("0") == 1
    assert list(read_states(interrupted.root).values()) == ["complete"]


def test_a_training_interrupted_twice_continues_from_both_attempts(interrupted: Bench) -> None:
    interrupted.lost.unlink()
    interrupted.attempt(SECOND)
    assert interrupted.groups().count("1") == 2
    assert trained(interrupted.attempt(LAST)).version == 1
    assert interrupted.groups().count("0") == 1


def test_without_another_attempt_nothing_is_kept(bench: Bench) -> None:
    assert bench.attempt(Attempt()).error is not None
    assert not bench.model.exists()


def test_progress_that_cannot_be_read_is_not_used(interrupted: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (interrupted.stage() / "progress.json").replace(b'{"resume_version": 99}')
    assert trained(interrupted.attempt(LAST)).version == 1
    assert interrupted.groups().count("0") == 2
    assert "the work of an earlier attempt cannot be used" in capsys.readouterr().out


def test_a_damaged_result_of_a_group_is_not_used(interrupted: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (group,) = [name for name in interrupted.stage().list_names() if name.startswith("fit-0-")]
    (interrupted.stage() / group / "finished.json").replace(b'{"record": ')
    assert trained(interrupted.attempt(LAST)).version == 1
    assert interrupted.groups().count("0") == 2
    assert "the work of an earlier attempt cannot be used" in capsys.readouterr().out


def test_groups_of_other_packages_are_trained_again_on_the_same_rows(interrupted: Bench) -> None:
    place = interrupted.stage() / "progress.json"
    noted = json.loads(place.read())
    assert "scikit-learn" in noted["environment"]
    noted["environment"]["scikit-learn"] = "0.1"
    place.replace(json.dumps(noted).encode())
    interrupted.rows = interrupted.rows[:40]
    assert trained(interrupted.attempt(LAST)).rows == 100
    assert interrupted.groups().count("0") == 2


def test_later_statements_use_the_version_of_this_job_whatever_was_published_meanwhile(
    run_plan: RunPlan, script: Script, tmp_path: Path
) -> None:
    constant = "import python_fun\npython_fun.udf(lambda index, s: [(1, None, None, [1.0])])"
    save = script("import mlsql_model\nmlsql_model.sk_save_model(1)", "train.py")
    train = Train(table="data", model_path=str(tmp_path / "m"), script_path=save, keep_versions=1)
    register = Register(model_path=str(tmp_path / "m"), function="jack", script_path=script(constant, "predict.py"))
    run_plan(train, job_id="task", attempt=FIRST).raise_for_error()
    run_plan(replace(train, keep_versions=None), job_id="other").raise_for_error()
    result = run_plan(train, register, job_id="task", attempt=LAST)
    registered = result.steps[-1]
    assert isinstance(registered, RegisterResult)
    assert (trained(replace(result, steps=result.steps[:1])).version, registered.version) == (1, 1)
    assert list(read_states(Location.of(str(tmp_path / "m")))) == [2, 1]  # keep_versions spares the version that is returned


@pytest.fixture
def feed(kafka_settings: KafkaSettings) -> KafkaFeed:
    return KafkaFeed(topic="resume", settings=kafka_settings.public)


def test_through_kafka_the_same_table_is_recognised(run_plan: RunPlan, tmp_path: Path, feed: KafkaFeed) -> None:
    bench = Bench(run_plan, tmp_path, feed)
    bench.fraction = 0.2
    assert bench.attempt(FIRST).error is not None
    assert trained(bench.attempt(LAST)).version == 1
    assert bench.groups().count("0") == 1
    assert len({tuple(seen) for _, *seen in bench.ran()}) == 1


def test_through_kafka_a_validation_table_that_was_written_again_is_used(
    run_plan: RunPlan, tmp_path: Path, feed: KafkaFeed
) -> None:
    with leaving_nothing(Bench(run_plan, tmp_path, feed)) as bench:
        bench.write_validation(10)
        assert bench.attempt(FIRST).error is not None
        assert {each[-1] for each in bench.ran()} == {10}
        (tmp_path / "ran").unlink()
        bench.write_validation(20)
        trained(bench.attempt(LAST))
        assert [each[-1] for each in bench.ran()] == [20, 20, 20]


def test_through_kafka_another_table_is_trained_from_the_beginning(
    run_plan: RunPlan, tmp_path: Path, feed: KafkaFeed, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(run_plan, tmp_path, feed)
    assert bench.attempt(FIRST).error is not None
    bench.rows[7]["features"] = [8.0, 1.0]
    assert trained(bench.attempt(LAST)).rows == 100
    assert "the table has changed since the earlier attempt" in capsys.readouterr().out
    assert bench.groups().count("0") == 2
