"""What a process finds wrong with the host that it is on."""

from __future__ import annotations

import platform
import socket
import sys
from pathlib import Path

import pytest

from mlsql_runtime.errors import PreflightFailed
from mlsql_runtime.plan import Load, Plan, PythonEnv, Save
from mlsql_runtime.preflight.host_check import HostNeeds, check_host
from mlsql_runtime.preflight.hosts import PreflightOutcome, local_input_paths
from mlsql_runtime.result import HostReport, PreflightResult
from mlsql_runtime.storage.location import Location


def look(**needs: object) -> HostReport:
    return check_host(HostNeeds(**needs), "node-1", "7", print)  # type: ignore[arg-type]


def problems(report: HostReport) -> list[tuple[str, str]]:
    return [(problem.kind, problem.message) for problem in report.problems]


def test_a_host_that_has_everything(tmp_path: Path, root: Location) -> None:
    (root / "claim").write(b"here")
    (tmp_path / "part-0.csv").write_text("1")
    report = look(modules={"numpy": "train.py imports"}, seen=(root / "claim").uri, paths=(str(tmp_path), f"{tmp_path}/*.csv"))
    assert problems(report) == []
    assert (report.host, report.executor, report.interpreter) == ("node-1", "7", sys.executable)
    assert report.versions["python"] == platform.python_version()
    assert report.free is not None
    assert report.free > 0


def test_all_problems_of_a_host_are_reported_at_once(tmp_path: Path, root: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLSQL_SCRATCH", str(tmp_path / "file/scratch"))
    report = look(
        modules={"no_such_module_4711": "train.py imports"},
        seen=(root / "claim").uri,
        paths=(str(tmp_path / "gone"),),
    )
    kinds = [kind for kind, _ in problems(report)]
    assert kinds == ["packages", "scratch", "storage", "storage"]
    assert all("node-1" in message for _, message in problems(report))
    assert report.free is None


def test_a_full_disk_is_reported() -> None:
    [(kind, message)] = problems(look(enough=1 << 60))
    assert kind == "scratch"
    assert "MiB free, less than" in message


@pytest.mark.parametrize(
    ("python", "kind"),
    [
        (PythonEnv(path="/no/python"), "interpreter"),
        (PythonEnv(version="3.99"), "version"),
        (PythonEnv(path="/no/python", requirements="numpy"), "interpreter"),
    ],
)
def test_an_unusable_interpreter_is_reported_with_the_rest(python: PythonEnv, kind: str) -> None:
    report = look(python=python)
    assert [kind for kind, _ in problems(report)] == [kind]
    assert report.interpreter is None


def test_an_environment_that_cannot_be_built_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLSQL_ENVIRONMENTS", "off")
    [(kind, message)] = problems(look(python=PythonEnv(requirements="numpy")))
    assert kind == "environment"
    assert "cannot be built on node-1: MLSQL_ENVIRONMENTS is off" in message


def test_storage_without_its_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    [(kind, message)] = problems(look(seen="no-such-scheme://bucket/m/_staging/x/claim"))
    assert kind == "storage"
    assert "install the fsspec backend" in message


def test_problems_of_many_executors_are_one_error() -> None:
    report = look(python=PythonEnv(path="/no/python"))
    twice = PreflightResult(hosts=(report, report), silent=())
    assert len(twice.problems) == 1
    with pytest.raises(PreflightFailed, match=r"^there is no Python interpreter /no/python on node-1"):
        twice.raise_for_problems()
    PreflightResult(hosts=(), silent=()).raise_for_problems()


def test_a_host_that_comes_late_is_looked_at_before_its_first_task() -> None:
    wanted = HostNeeds(python=PythonEnv(path="/no/python"))
    with pytest.raises(PreflightFailed, match=f"no Python interpreter /no/python on {socket.gethostname()}"):
        PreflightOutcome(wanted, ("another-host",), {}).check_this_host()
    PreflightOutcome(wanted, (socket.gethostname(),), {}).check_this_host()


def test_a_path_that_cannot_be_looked_at_is_a_problem_of_the_host(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    report = check_host(HostNeeds(paths=(str(tmp_path / "loop"), str(tmp_path))), "here", "1", print)
    assert [problem.kind for problem in report.problems] == ["storage"]
    assert "loop is not visible on here (" in report.problems[0].message


def test_local_data_that_are_read_have_to_be_visible() -> None:
    plan = Plan(
        job_id="j",
        statements=(
            Load(table="a", format="csv", path="/data/a"),
            Load(table="b", format="parquet", path="file:/data/b"),
            Load(table="c", format="csv", path="s3a://bucket/c"),
            Load(table="d", format="csv", path="/data/{d,e}"),
            Load(table="e", format="jdbc", path="/data/e"),
            Save(table="a", format="csv", path="/out"),
            Load(table="f", format="csv", path="/out/f"),
            Load(table="o", format="csv", path="/output"),
            Load(table="g", format="csv", path="/data/late"),
        ),
    )
    assert local_input_paths(plan, 8) == ("/data/a", "/data/b", "/data/{d,e}", "/output")
    assert local_input_paths(plan, 8, "hdfs://name") == ("/data/b",)
