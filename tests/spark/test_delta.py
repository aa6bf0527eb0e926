"""Delta tables for real: by path and in the session's catalog, to train from and to write predictions to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jars import fetch_jars

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.compare_versions import compare_versions

JOB = Path(__file__).with_name("delta_job.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("delta")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    """The results of delta_job.py."""
    jars = ",".join(map(str, sorted(fetch_jars("delta").glob("*.jar"))))
    env = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(JOB), jars, str(folder)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


pytestmark = pytest.mark.usefixtures("starts_jvm")


def source(training: dict[str, Any], table: str) -> dict[str, Any]:
    (found,) = (each for each in training["sources"] if each["table"] == table)
    return found


def test_a_version_names_the_version_of_the_table_that_it_was_trained_from(found: dict[str, Any], folder: Path) -> None:
    assert (found["created"], found["appended"], found["appended by path"]) == (10, 10, 10)
    for name, version, rows, score in (("first", "0", 10, 45.0), ("moved", "1", 20, 190.0)):
        read = source(found[name], "shop.orders")
        assert (found[name]["rows"], found[name]["score"]) == (rows, score)
        assert (read["kind"], read["format"], read["version"]["id"], read["version"]["since"]) == (
            "table",
            "delta",
            version,
            None,
        )
        assert read["version"]["committed"] is not None
    read = source(found["moved by path"], "t")
    assert (read["kind"], read["path"], read["version"]["id"]) == ("load", f"{folder}/path", "1")


def test_a_table_that_is_written_to_during_the_job_has_both_versions(found: dict[str, Any]) -> None:
    read = source(found["written meanwhile"], "old")
    assert found["written meanwhile"]["rows"] == 30  # Delta reads the newest version
    assert (read["version"]["since"], read["version"]["id"]) == ("1", "2")


@pytest.mark.parametrize("how", ["travelled", "travelled by name", "travelled by path"])
def test_time_travel_trains_on_the_old_rows_again(found: dict[str, Any], how: str) -> None:
    again, first = found[how], found["first"]
    assert (again["rows"], again["score"]) == (first["rows"], first["score"])
    assert source(again, "t" if "by" in how else "shop.orders")["version"]["id"] == "0"


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize(("versions", "moved"), [((1, 2), ("shop.orders",)), ((6, 3), ("t",)), ((1, 4), ())])
def test_two_versions_tell_whether_the_data_have_changed(folder: Path, versions: tuple[int, int], moved: tuple[str, ...]) -> None:
    assert compare_versions(Location.of(f"{folder}/m"), *versions).changed_sources == moved


def test_predictions_are_appended_and_overwritten(found: dict[str, Any]) -> None:
    def scored(day: int) -> list[list[Any]]:
        return [[number % 2, number * 2.0, f"d{day}"] for number in (0, 2, 1)]

    assert found["scores 1"] == [3, sorted(scored(1)), 0]
    assert found["scores 2"] == [3, sorted(scored(1) + scored(2)), 1]
    assert found["scores 3"] == [3, sorted(scored(3)), 2]  # in one commit
    assert found["partitions"] == ["day"]
    assert (found["other order"], found["evolved"]) == (1, 1)
    assert found["columns"] == ["label", "score", "day", "note"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other columns", "expected label, score, day, note, got day, scores; select the same columns"),
        ("other format", "table shop.scores is stored as delta, not as parquet; leave the format out"),
        ("no table", "there is no table 'ordesr' in shop; did you mean 'orders'?"),
        ("no version", "99"),
        ("no data", "pathx"),
    ],
)
def test_what_cannot_be_read_or_written(found: dict[str, Any], name: str, message: str) -> None:
    assert found[name]["kind"] == "InputError"
    assert message in found[name]["message"]
