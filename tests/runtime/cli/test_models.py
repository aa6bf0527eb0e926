"""mlsql models: the list of versions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.model_commands import EVERY_STORAGE, Capture, Fail, Package, Publish, from_json

from mlsql_runtime.cli.main import main
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions
from mlsql_runtime.store.publish import claim_version

MLSQL = str(Path(sys.executable).with_name("mlsql"))


def test_versions_are_listed_newest_first(
    root: Location, publish: Publish, fail: Fail, package: Package, capsys: Capture
) -> None:
    publish(root, 0.5, 0.75)
    publish(root, None)
    fail(root, "training /a/train.py for /m: 1 of 1 fit groups failed: it went wrong")
    for name, version in [("jack", 1), ("jill", 1), ("jack", 2)]:
        functions.set_current(root, package(root, name, version))
    with claim_version(root, "job-9"):
        assert main(["models", root.uri]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["version", "state", "published", "(UTC)", "groups", "score", "rows", "size", "functions"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["4", "unfinished"],
        ["3", "failed"],
        ["2", "complete"],
        ["1", "complete"],
    ]
    assert lines[2].split(maxsplit=4) == ["3", "failed", "2024-05-01", "12:00", "0/1" + lines[2].partition("0/1")[2]]
    assert lines[2].endswith("group 0: it ended with exit code 3")
    assert lines[3].split() == ["2", "complete", "2024-05-01", "12:00", "1/1", "150", "9", "B", "jack", "(current)"]
    assert lines[4].endswith("2/2   0.75   150  18 B  jill (current); jack (before)")


@EVERY_STORAGE
def test_the_json_of_a_listing_has_documented_keys(
    root: Location, publish: Publish, fail: Fail, package: Package, capsys: Capture
) -> None:
    publish(root, 0.5, 0.75)
    functions.set_current(root, package(root, "jack", 1))
    fail(root, "no good")
    failed, complete = from_json(capsys, "models", root.uri)["versions"]
    assert complete == {
        "version": 1,
        "state": "complete",
        "created": "2024-05-01T12:00:00+00:00",
        "task": None,
        "job_id": "job-1",
        "groups": 2,
        "groups_succeeded": 2,
        "best": {"alg_index": 1, "score": 0.75},
        "score": 0.75,
        "greater_is_better": True,
        "metrics": {"loss": 0.25, "auc": None},
        "rows": 150,
        "size": 18,
        "description": "nightly, of all mail",
        "code": "0" * 64,
        "environment": complete["environment"],  # a digest
        "sources": [],
        "functions": [{"function": "jack", "function_version": 1, "alg_index": 0, "current": True}],
        "message": None,
        "reason": None,
        "error": None,
    }
    assert len(complete["environment"]) == 64
    assert set(failed) == set(complete)
    assert (failed["state"], failed["message"], failed["best"]) == ("failed", "no good", None)


def test_the_limit_says_how_many_more_there_are(local_root: Location, publish: Publish, capsys: Capture) -> None:
    for _ in range(22):
        publish(local_root)
    assert main(["models", local_root.uri]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 22
    assert lines[-1] == "2 older versions not shown; see --limit"
    assert main(["models", "--limit", "21", local_root.uri]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 older version not shown; see --limit"
    document = from_json(capsys, "models", local_root.uri, "--limit", "3")
    assert ([each["version"] for each in document["versions"]], document["more"]) == ([22, 21, 20], 19)


@pytest.mark.parametrize("argv", [["models", "list", "{}"], ["models", "{}"], ["models", "--limit", "3", "{}"]])
def test_list_need_not_be_said(local_root: Location, publish: Publish, capsys: Capture, argv: list[str]) -> None:
    publish(local_root)
    assert main([word.format(local_root.uri) for word in argv]) == 0
    assert "complete" in capsys.readouterr().out


def test_a_relative_path_named_as_a_command_is_a_path(
    tmp_path: Path, publish: Publish, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    publish(Location.of("./shoe"))
    assert main(["models", "shoe"]) == 0
    publish(Location.of("./show"))
    assert main(["models", "./show"]) == 0
    assert capsys.readouterr().out.count("complete") == 2


def test_a_mistyped_command_is_not_taken_for_a_path(capsys: Capture) -> None:
    assert main(["models", "shwo", "/m"]) == 2
    assert "Did you mean 'show'?" in capsys.readouterr().err


_touched: list[str] | None = None


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _touched is not None and event in ("open", "os.scandir", "os.listdir") and isinstance(args[0], str):
        _touched.append(f"{event} {args[0]}")


def test_a_listing_reads_one_document_for_each_version_shown(local_root: Location, publish: Publish, package: Package) -> None:
    for _ in range(60):
        publish(local_root)
    functions.set_current(local_root, package(local_root, "jack", 60))
    global _touched
    sys.addaudithook(_audit)
    _touched = []
    try:
        assert main(["models", local_root.uri, "--limit", "5"]) == 0
        touched = [each.replace(local_root.path, "") for each in _touched if local_root.path in each]
    finally:
        _touched = None
    assert sorted(touched) == sorted(
        ["os.scandir ", "os.scandir /_functions", "open /_functions/jack/current.json"]
        + [f"open /_model_{number}/manifest.json" for number in range(56, 61)]
    )


def test_the_console_script_lists(local_root: Location, publish: Publish) -> None:
    publish(local_root)
    done = subprocess.run([MLSQL, "models", local_root.uri, "--json"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["versions"][0]["state"] == "complete"
    done = subprocess.run([MLSQL, "models", local_root.uri + "x"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")


def test_looking_at_a_store_imports_no_spark(local_root: Location, publish: Publish) -> None:
    publish(local_root)
    code = (
        "import sys; from mlsql_runtime.cli.main import main; "
        f"code = main(['models', {local_root.uri!r}]); "
        "print([name for name in ('pyspark', 'airflow', 'numpy', 'pyarrow', 'kafka') if name in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr
