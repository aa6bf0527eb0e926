"""Jobs with faults at moments that seeds give, and the program that looks at what they leave. ``make faults`` runs many more."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.faults import invariants, jobs, kinds, processes
from support.faults.campaign import Campaign, open_campaign, set_import_path
from support.faults.cases import Case
from support.faults.faults import ProcessFault
from support.faults.journal import Finding, Journal, Record, list_open_seeds
from support.faults.places import LOCAL
from support.faults.scene import Fault, Moment, matches
from support.faults.storage_faults import FlippedByte, StorageFault
from support.faults.storages import LocalStorage
from support.stores import publish
from support.waiting import wait_until

if TYPE_CHECKING:
    from broker import Broker

# -- a short campaign


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", "")  # as it was, once the tests are over
        set_import_path()
        with open_campaign(tmp_path_factory.mktemp("campaign")) as campaign:
            yield campaign


KILL = ProcessFault("script", "SIGKILL", Moment(1.0, "script"), seconds=0, pick=0.9)
LOST_JVM = ProcessFault("JVM of the driver", "SIGKILL", Moment(5.0, "driver"), seconds=0, pick=0)
LOST_STORAGE = StorageFault("error", Moment(1.0), seconds=3.0)
FLIP = FlippedByte(pick=0.9, bit=3)


@pytest.mark.usefixtures("starts_jvm")
@pytest.mark.parametrize(
    ("job", "storage", "fault", "first"),
    [
        pytest.param(jobs.TRAIN, "local", LOST_JVM, "JobFailed", id="kill"),  # which leaves its temporary files
        pytest.param(jobs.REGISTER, "s3", LOST_STORAGE, None, id="storage"),
        pytest.param(jobs.REGISTER, "local", FLIP, "IntegrityError", id="file"),
    ],
)
def test_a_job_survives_a_fault(campaign: Campaign, job: jobs.Job, storage: str, fault: Fault, first: str | None) -> None:
    record = campaign.run(Case(1, job, LOCAL, storage, (fault,)))
    assert (record.violations, record.skipped) == ([], None)
    assert all(record.struck)
    assert record.tries[-1] == "succeeded"
    assert first in (None, record.tries[0])


@pytest.mark.usefixtures("starts_jvm")
@pytest.mark.parametrize("seed", [30, 42, 130, 131, 279, 280, 285])  # of jobs that start no JVM
def test_a_case_of_the_campaign_leaves_no_violation(campaign: Campaign, seed: int) -> None:
    record = campaign.run(Case.of(seed))
    assert (record.violations, record.skipped) == ([], None)
    assert record.tries[-1] == "succeeded"


# -- seeds and the journal


def test_a_seed_gives_one_case() -> None:
    cases = [Case.of(seed) for seed in range(1, 301)]
    assert cases == [Case.of(seed) for seed in range(1, 301)]
    assert {case.job.name for case in cases} == set(jobs.JOBS)
    assert {case.place for case in cases} == {"local", "standalone", "yarn"}
    assert {case.storage for case in cases} == {"local", "small disk", "s3", "webhdfs", "hdfs"}
    kinds_of_places = {(kind.place, kind.name.partition(", ")[0]) for place in kinds.JOBS for kind in kinds.list_kinds(place)}
    assert {(case.place, case.faults[0].name.partition(", ")[0]) for case in cases[:200]} == kinds_of_places


def test_a_campaign_goes_on_where_it_stopped(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "records" / "faults.jsonl")
    records = [Record.of(Case.of(seed)) for seed in range(1, 5)]
    records[1].violations.append("something is left")
    records[2].skipped = "a partition takes root"
    for record in records:
        journal.add(record)
    with (tmp_path / "records" / "faults.jsonl").open("a") as file:
        file.write('{"seed": 5, "job": "tr')  # its process was killed
    assert list_open_seeds(range(1, 7), journal.read().values()) == [2, 3, 5, 6]
    records[1].violations.clear()
    journal.add(records[1])
    assert list_open_seeds(range(1, 7), journal.read().values()) == [3, 5, 6]
    found = Finding("no topic is removed", only="local", cases=3, seed=7, violation="topic x is left")
    journal.add(found)
    assert [record.seed for record in journal.read_all()] == [1, 2, 3, 4, 2]
    assert journal.read_all()[2] == records[2]
    assert journal.read_findings() == [found]


def test_a_failure_has_to_name_its_fault() -> None:
    assert matches(KILL, "the job ended without a result (exit code -9); see the log above, and retry")
    assert not matches(KILL, "KeyError: 'weight'")
    assert not matches(
        ProcessFault("script", "SIGSTOP", Moment(0.5, "script"), 2.0, 0), "the script was killed"
    )  # which it survives
    assert not matches(None, "the job ended without a result")


# -- the invariants: each fails when what it looks at is really broken


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A model path with a version, and a function with a package."""
    root = tmp_path / "m"
    publish(str(root), 0.75)
    package = root / "_functions" / "jack" / "1"
    package.mkdir(parents=True)
    (package / "function.pickle").write_bytes(b"pickle")
    entry = {"path": "function.pickle", "size": 6, "sha256": hashlib.sha256(b"pickle").hexdigest()}
    (package / "function.json").write_text(json.dumps({"pickle": entry}))
    (package.parent / "current.json").write_text(json.dumps({"history": [{"function_version": 1}]}))
    assert list(invariants.check_store(root)) == []
    return root


def remove(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).unlink()


def write(name: str, text: str) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    return make


def forget_digest(root: Path) -> None:
    manifest = json.loads((root / "_model_1/manifest.json").read_text())
    del manifest["files"][0]["sha256"]
    (root / "_model_1/manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("break_store", "what"),
    [
        (forget_digest, "_model_1/model/0/model.pickle is not what the manifest says"),
        (write("_model_1/model/0/model.pickle", "modem"), "_model_1/model/0/model.pickle is not what the manifest says"),
        (remove("_model_1/model/0/model.pickle"), "_model_1/model/0/model.pickle is missing"),
        (write("_model_1/model/0/more", ""), "_model_1/model/0/more is not in the manifest"),
        (write("_model_1/failure.json", "{}"), "_model_1 is complete and failed"),
        (write("_model_1/manifest.json", "{"), "_model_1/manifest.json cannot be read"),
        (remove("_functions/jack/1/function.json"), "jack has pointed to package 1, which is not whole"),
        (write("_functions/jack/1/function.pickle", "pickel"), "jack/1: the pickle is not what function.json says"),
        (remove("_functions/jack/1/function.pickle"), "jack/1: the pickle is not what function.json says"),
        (write("_functions/jack/current.json", ""), "jack/current.json cannot be read"),
        (write("_staging/job-1/claim.json", ""), "_staging/job-1 is left"),
        (write("model.pickle.tmp", ""), "model.pickle.tmp does not belong into a model path"),
    ],
)
def test_a_broken_store_is_seen(store: Path, break_store: Callable[[Path], object], what: str) -> None:
    break_store(store)
    assert what in list(invariants.check_store(store))


@pytest.mark.parametrize(
    ("last", "file", "what"),
    [
        ("_model_1/manifest.json", "_model_1/model/0/model.pickle", "_model_1/model/0/model.pickle is missing"),
        ("_functions/jack/current.json", "_functions/jack/1/function.json", "jack has pointed to package 1, which is not whole"),
    ],
)
def test_a_file_that_comes_after_what_names_it_is_seen(store: Path, last: str, file: str, what: str) -> None:
    contents = {each: (store / each).read_bytes() for each in (last, file)}
    for each in contents:
        remove(each)(store)
    with invariants.StoreWatch(store) as watch:
        LocalStorage(store).publish(last, contents[last])
        wait_until(lambda: watch.violations)
        (store / file).write_bytes(contents[file])
    assert watch.violations == [f"{what}, when it is first seen"]
    assert list(invariants.check_store(store)) == []


def test_a_version_that_is_whole_is_no_violation(store: Path) -> None:
    manifest = (store / "_model_1/manifest.json").read_bytes()
    remove("_model_1/manifest.json")(store)
    with invariants.StoreWatch(store) as watch:
        before = len(watch.seen)
        LocalStorage(store).publish("_model_1/manifest.json", manifest)
        wait_until(lambda: len(watch.seen) > before)
    assert watch.violations == []


def test_an_unfinished_version_is_none(store: Path) -> None:
    write("_model_2/claim.json", "{}")(store)
    write("_model_2/model/0/model.pickle", "mod")(store)
    assert list(invariants.check_store(store)) == []
    assert list(invariants.read_manifests(store)) == [1]


def test_wrong_predictions_are_seen(tmp_path: Path) -> None:
    def check(*rows: tuple[int, float]) -> list[str]:
        ids, values = zip(*rows, strict=True)
        pq.write_table(pa.table({"id": ids, "prediction": values}), tmp_path / "part-0.parquet")
        return list(invariants.check_predictions(tmp_path, 0.5, range(3)))

    assert list(invariants.check_predictions(tmp_path, 0.5, range(3))) == ["there are no predictions"]
    assert check((0, 0.0), (1, 0.5), (2, 1.0)) == []
    assert check((0, 0.0), (1, 0.5), (2, 1.0), (2, 1.0)) == ["predictions of 4 rows, 3 different ones, not of 3"]
    assert check((0, 0.0), (2, 1.0)) == ["predictions of 2 rows, 2 different ones, not of 3"]
    assert check((0, 0.0), (1, 0.5), (2, 1.5)) == ["predictions of 1 rows are wrong, such as that of 2"]
    (tmp_path / "_temporary").mkdir()
    assert len(check((0, 0.0), (1, 0.5), (2, 1.0))) == 1


def test_wrong_rows_of_a_training_are_seen(tmp_path: Path) -> None:
    def check(rows: float, total: float, different: float) -> list[str]:
        fit = {"alg_index": 0, "status": "success", "metrics": {"rows": rows, "sum": total, "different": different}}
        write("_model_1/manifest.json", json.dumps({"data": {"rows": 4}, "fits": [fit]}))(tmp_path)
        return list(invariants.check_rows(tmp_path, range(4)))

    assert check(4.0, 6.0, 4.0) == []
    assert list(invariants.check_rows(tmp_path, range(5), range(4))) == []  # either table will do
    assert len(check(5.0, 9.0, 4.0)) == len(check(4.0, 5.0, 3.0)) == len(check(3.0, 6.0, 3.0)) == 1
    assert len(list(invariants.check_rows(tmp_path, range(5)))) == 2


def test_a_process_that_is_left_is_seen_and_ended() -> None:
    folder = f"case-{uuid.uuid4().hex}"
    sleep = [sys.executable, "-c", "import time; time.sleep(900)"]
    with subprocess.Popen(sleep, env=os.environ | {processes.CASE: folder}) as process:
        (left,) = invariants.check_processes(lambda: processes.of_case(folder), 0.5)
        assert left.startswith("a process is left: ")
        assert process.wait(30) == -9
    assert list(invariants.check_processes(lambda: processes.of_case(folder), 0.5)) == []


def test_files_that_are_left_are_seen(tmp_path: Path) -> None:
    (tmp_path / "mlsql-job-1").mkdir()
    (tmp_path / "hsperfdata").mkdir()
    assert len(list(invariants.check_left(tmp_path))) == 2
    assert list(invariants.check_left(tmp_path, "mlsql.*")) == ["mlsql-job-1 is left in the temporary folder"]


def test_topics_and_groups_that_are_left_are_seen(broker: Broker) -> None:
    from kafka import KafkaAdminClient, KafkaConsumer

    prefix = f"left-{uuid.uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_topics({f"{prefix}-topic": {"num_partitions": 1, "replication_factor": 1}})
    assert list(invariants.check_topics(broker.bootstrap, prefix)) == [f"topic {prefix}-topic is left"]
    consumer = KafkaConsumer(f"{prefix}-topic", bootstrap_servers=broker.bootstrap, group_id=f"{prefix}-group")
    consumer.poll(timeout_ms=5000)
    consumer.commit()
    consumer.close()
    assert f"group {prefix}-group is left" in list(invariants.check_topics(broker.bootstrap, prefix))
    admin.delete_topics([f"{prefix}-topic"])
    admin.delete_groups([f"{prefix}-group"])
    admin.close()
    assert list(invariants.check_topics(broker.bootstrap, prefix)) == []
