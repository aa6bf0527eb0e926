"""mlsql models: the versions of a model path."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.model_commands import Capture, Fail, Package, Publish, from_json

from mlsql_runtime.cli.main import main
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.publish import claim_version

MLSQL = str(Path(sys.executable).with_name("mlsql"))


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """Be somebody to whom permissions apply."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_root() -> Iterator[Location]:
    """A local model path in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Location.of(f"{folder}/digits")


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
        "job_id": "job-1",
        "groups": 2,
        "groups_succeeded": 2,
        "best": {"alg_index": 1, "score": 0.75},
        "score": 0.75,
        "rows": 150,
        "size": 18,
        "functions": [{"function": "jack", "function_version": 1, "alg_index": 0, "current": True}],
        "message": None,
        "reason": None,
        "error": None,
    }
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


def test_a_mistyped_command_is_no_path(capsys: Capture) -> None:
    assert main(["models", "shwo", "/m"]) == 2
    assert "Did you mean 'show'?" in capsys.readouterr().err


COMMANDS = [["models"], ["models", "show"], ["models", "verify"], ["models", "prune", "--keep", "1"], ["functions"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_missing_path_is_no_empty_store(root: Location, command: list[str], capsys: Capture) -> None:
    assert main([*command, root.uri]) == 2
    assert capsys.readouterr().err == f"mlsql: {root.uri} does not exist; expected a model path, which a training creates\n"
    assert not root.exists()


@pytest.mark.parametrize(
    ("there", "path", "message"),
    [
        ([], "", "is empty; no training has published a version there yet"),
        (["a.csv", "b.csv", "c", "d"], "", "is not a model path: it holds a.csv, b.csv, c …, and no version (such as _model_1)"),
        (["_model_7/manifest.json"], "/_model_7", "is the folder of version 7; the model path is {}"),
        (["_staging/job/claim.json"], "", "holds no version yet; a training is running there, or was killed"),
        (["spam"], "/spam", "is a file; expected a folder"),
    ],
)
def test_what_is_no_model_path_is_said(tmp_path: Path, there: list[str], path: str, message: str, capsys: Capture) -> None:
    for name in there:
        Location.of(f"{tmp_path}/{name}").write(b"{}")
    assert main(["models", f"{tmp_path}{path}"]) == 2
    assert message.format(tmp_path) in capsys.readouterr().err


def test_an_empty_argument_is_no_path(capsys: Capture) -> None:
    assert main(["models", "list", " "]) == 2
    assert "the model path is empty" in capsys.readouterr().err


def test_functions_are_looked_at_when_all_versions_are_gone(root: Location, package: Package, capsys: Capture) -> None:
    functions.set_current(root, package(root, "jack", 1))
    assert main(["models", root.uri]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("name", ["manifest.json", "failure.json"])
@pytest.mark.parametrize("text", [b"{", b"[]", b'{"format_version": 99}', b'{"format_version": 1}', b"\xff"])
def test_a_damaged_document_hides_no_other_version(
    root: Location, publish: Publish, fail: Fail, name: str, text: bytes, capsys: Capture
) -> None:
    publish(root)
    fail(root)
    publish(root)
    damaged = root / f"_model_{1 if name == 'manifest.json' else 2}" / name
    damaged.write(text)
    assert main(["models", root.uri]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines].count("unreadable") == 1
    assert [line.split()[1] for line in lines].count("complete") == (1 if name == "manifest.json" else 2)
    assert damaged.uri in next(line for line in lines if "unreadable" in line)
    number = damaged.path.split("_model_")[1][0]
    assert main(["models", "show", root.uri, number]) == 2
    assert damaged.uri in capsys.readouterr().err


def test_a_manifest_without_a_good_group_is_damaged(
    local_root: Location, manifest_of: Callable[..., Manifest], fit_record: Any, capsys: Capture
) -> None:
    with claim_version(local_root, "job") as draft:
        draft.publish(manifest_of(1, [fit_record(0, None, "failed")]))
    assert from_json(capsys, "models", local_root.uri)["versions"][0]["error"]["kind"] == "FormatError"


def test_a_damaged_pointer_is_told_apart(root: Location, publish: Publish, package: Package, capsys: Capture) -> None:
    publish(root)
    functions.set_current(root, package(root, "jack", 1))
    functions.set_current(root, package(root, "jill", 1))
    (root / "_functions/jack/current.json").write(b'{"format_version": 1, "function": "jack", "history": []}')
    assert main(["models", root.uri]) == 0
    out, err = capsys.readouterr()
    assert out.rstrip().endswith("jill (current)")
    assert err.startswith(f"mlsql: {(root / '_functions/jack/current.json').uri}: its history is empty")
    assert main(["models", "prune", root.uri, "--keep", "1"]) == 2  # what jack needs is not known


def test_permission_denied_is_unavailable(open_root: Location, publish: Publish, capsys: Capture) -> None:
    publish(open_root)
    publish(open_root)
    assert main(["models", open_root.uri]) == 0  # imports what another user may not
    assert main(["models", "prune", open_root.uri, "--keep", "5"]) == 0
    capsys.readouterr()
    (Path(open_root.path) / "_model_1/manifest.json").chmod(0)
    with another_user():
        assert main(["models", open_root.uri]) == 3
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[1] for line in lines[1:]] == ["complete", "unreadable"]
        assert main(["models", "verify", open_root.uri, "1"]) == 3
        assert main(["models", "prune", open_root.uri, "--keep", "1"]) == 3
    Path(open_root.path).chmod(0)
    capsys.readouterr()
    with another_user():
        assert main(["models", open_root.uri]) == 3
    assert "cannot be listed" in capsys.readouterr().err
    Path(open_root.path).chmod(0o755)


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
