from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlsql_runtime.cli.main import main
from mlsql_runtime.store import functions, layout
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.manifest import FunctionRecord, Manifest
from mlsql_runtime.store.publish import claimed
from mlsql_runtime.store.read import read_manifest

MLSQL = str(Path(sys.executable).with_name("mlsql"))
Publish = Callable[..., Manifest]
Fail = Callable[..., int]
Package = Callable[..., FunctionRecord]
Capture = pytest.CaptureFixture[str]


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


def from_json(capsys: Capture, *argv: str, code: int = 0) -> Any:
    assert main([*argv, "--json"]) == code
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


# -- list


def test_versions_are_listed_newest_first(
    root: Location, publish: Publish, fail: Fail, package: Package, capsys: Capture
) -> None:
    publish(root, 0.5, 0.75)
    publish(root, None)
    fail(root, "training /a/train.py for /m: 1 of 1 fit groups failed: it went wrong")
    for name, version in [("jack", 1), ("jill", 1), ("jack", 2)]:
        functions.point(root, package(root, name, version))
    with claimed(root, "job-9"):
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
    functions.point(root, package(root, "jack", 1))
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
    assert capsys.readouterr().err == f"mlsql: {root.uri} does not exist; expected a model path, as a training has made it\n"
    assert not root.exists()


@pytest.mark.parametrize(
    ("there", "path", "message"),
    [
        ([], "", "is empty; no training has published a version there yet"),
        (["a.csv", "b.csv", "c", "d"], "", "is no model path: it holds a.csv, b.csv, c …, and no version (such as _model_1)"),
        (["_model_7/manifest.json"], "/_model_7", "is the folder of version 7; the model path is {}"),
        (["_staging/job/claim.json"], "", "holds no version yet; a training is under way there, or was killed"),
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
    functions.point(root, package(root, "jack", 1))
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
    with claimed(local_root, "job") as draft:
        draft.publish(manifest_of(1, [fit_record(0, None, "failed")]))
    assert from_json(capsys, "models", local_root.uri)["versions"][0]["error"]["kind"] == "FormatError"


def test_a_damaged_pointer_is_told_apart(root: Location, publish: Publish, package: Package, capsys: Capture) -> None:
    publish(root)
    functions.point(root, package(root, "jack", 1))
    functions.point(root, package(root, "jill", 1))
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
    functions.point(local_root, package(local_root, "jack", 60))
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


# -- show


def test_a_version_is_shown_in_full(root: Location, publish: Publish, fail: Fail, package: Package, capsys: Capture) -> None:
    publish(root, 0.5, 0.75)
    fail(root)
    functions.point(root, package(root, "jack", 1))
    assert main(["models", "show", root.uri]) == 0
    out = capsys.readouterr().out
    for told in (
        "version          1\n",
        "state            complete\n",
        "published (UTC)  2024-05-01 12:00\n",
        "script           train.py, SHA-256 " + "0" * 64,
        "best             group 1, score 0.75\n",
        "scores           higher is better\n",
        "rows             150 for training, 0 held out\n",
        "features         features, vectors of 4\n",
        "functions        jack (current)\n",
        "\ncolumns\n  features  vector\n",
        "\nparameters\n  pythonVer  3\n",
        "\nenvironment\n  python  3.11.0\n",
        "\ngroup 1: success, score 0.75, 1.5 s\n  parameters  alpha=0.1\n  metrics     loss=0.25, auc=none\n",
        "\n2 files, 18 B\n",
        "  model/1/model.bin   9 B\n",
    ):
        assert told in out


def test_the_json_of_a_version_has_documented_keys(root: Location, publish: Publish, fail: Fail, capsys: Capture) -> None:
    manifest = publish(root, 0.5)
    fail(root, "no good")
    shown = from_json(capsys, "models", "show", root.uri)
    failed = from_json(capsys, "models", "show", root.uri, "2")
    with claimed(root, "job-9"):
        unfinished = from_json(capsys, "models", "show", root.uri, "3")
    keys = (
        "model_path version state created job_id message script greater_is_better best score data parameters environment fits "
        "tails files size functions"
    )
    assert list(shown) == list(failed) == list(unfinished) == keys.split()
    assert shown["files"] == [{"path": "model/0/model.bin", "size": 9, "sha256": manifest.files[0].sha256}]
    assert shown["fits"][0] == {
        "alg_index": 0,
        "status": "success",
        "score": 0.5,
        "metrics": {"loss": 0.25, "auc": None},
        "seconds": 1.5,
        "message": None,
        "params": {"alpha": "0.1"},
        "started": "2024-05-01T12:00:00+00:00",
        "ended": "2024-05-01T12:00:01.500000+00:00",
        "packages": {},
    }
    assert (failed["state"], failed["message"], failed["tails"]) == ("failed", "no good", {"0": ["Traceback", "ValueError"]})
    assert failed["fits"][0]["message"] == "it ended with exit code 3"
    assert (unfinished["state"], unfinished["job_id"], unfinished["fits"]) == ("unfinished", "job-9", [])


def test_a_failed_version_shows_why(local_root: Location, fail: Fail, capsys: Capture) -> None:
    fail(local_root, "1 of 1 fit groups failed")
    assert main(["models", "show", local_root.uri, "1"]) == 0
    out = capsys.readouterr().out
    assert "failed (UTC)  2024-05-01 12:00\n" in out
    assert "reason        1 of 1 fit groups failed\n" in out
    assert "group 0: failed, score none, 1.5 s\n  message     it ended with exit code 3\n" in out
    assert "  its last lines:\n    Traceback\n    ValueError\n" in out
    assert main(["models", "show", local_root.uri]) == 2
    assert "holds no complete model version" in capsys.readouterr().err


def test_a_version_that_is_not_there_names_those_that_are(local_root: Location, publish: Publish, capsys: Capture) -> None:
    publish(local_root)
    for command in ("show", "verify"):
        assert main(["models", command, local_root.uri, "7"]) == 2
        assert "holds no complete version 7; complete versions are 1" in capsys.readouterr().err


def test_a_kept_log_is_printed_as_it_is(root: Location, publish: Publish, capsys: Capture) -> None:
    publish(root)
    (root / "_model_1/logs/0.log").write("é first\n  last".encode() + b"\xff")
    (root / "_model_1/logs/10.log").write(b"")
    assert main(["models", "show", root.uri, "--log", "0"]) == 0
    assert capsys.readouterr().out == "é first\n  last\ufffd\n"
    document = from_json(capsys, "models", "show", root.uri, "1", "--log", "0")
    assert document == {"model_path": root.uri, "version": 1, "alg_index": 0, "log": "é first\n  last\ufffd"}
    assert main(["models", "show", root.uri, "1", "--log", "3"]) == 2
    assert "version 1 of" in (err := capsys.readouterr().err)
    assert "keeps no log of group 3; it has those of 0, 10" in err


# -- verify


def test_an_intact_version_is_verified(root: Location, publish: Publish, package: Package, capsys: Capture) -> None:
    publish(root)
    functions.point(root, package(root, "jack", 1))
    assert main(["models", "verify", root.uri]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "version 1",
        "  ok          _model_1/model/0/model.bin (9 B)",
        "  function jack, version 1 (current)",
        "  ok          _functions/jack/1/function.json",
        "  ok          _functions/jack/1/function.pickle (8 B)",
        f"all is as it was written: 3 files of 1 version of {root.uri}",
    ]


def test_everything_wrong_is_told_not_the_first_only(root: Location, publish: Publish, package: Package, capsys: Capture) -> None:
    publish(root, 0.5, 0.6, 0.7)
    functions.point(root, package(root, "jack", 1))
    (root / "_model_1/model/0/model.bin").write(b"weighty 0")
    (root / "_model_1/model/2/model.bin").remove()
    (root / "_functions/jack/1/function.pickle").write(b"another pickle")
    document = from_json(capsys, "models", "verify", root.uri, "1", code=1)
    assert list(document) == ["model_path", "ok", "versions", "orphans", "problems"]
    (version,) = document["versions"]
    assert [(file["path"], file["problem"]) for file in version["files"]] == [
        ("_model_1/model/0/model.bin", "different"),
        ("_model_1/model/1/model.bin", None),
        ("_model_1/model/2/model.bin", "missing"),
    ]
    (function,) = version["functions"]
    assert [(file["path"], file["problem"]) for file in function["files"]] == [
        ("_functions/jack/1/function.json", None),
        ("_functions/jack/1/function.pickle", "different"),
    ]
    assert document["ok"] is False
    assert main(["models", "verify", root.uri]) == 1
    out = capsys.readouterr().out
    assert out.count("expected SHA-256") == 2
    assert "3 things wrong" in out


def test_all_versions_are_verified(root: Location, publish: Publish, fail: Fail, package: Package, capsys: Capture) -> None:
    publish(root)
    fail(root)
    publish(root)
    functions.point(root, package(root, "jack", 1))
    (root / "_functions/jack/1/function.json").remove()
    assert main(["models", "verify", root.uri]) == 0  # the newest
    document = from_json(capsys_cleared(capsys), "models", "verify", root.uri, "--all", code=1)
    assert [version["version"] for version in document["versions"]] == [3, 1]
    assert document["versions"][1]["functions"][0]["files"][0]["problem"] == "missing"
    (root / "_model_1").remove()
    document = from_json(capsys, "models", "verify", root.uri, "--all", code=1)
    assert document["orphans"][0]["files"][0]["message"] == "function jack points to version 1, which is not there"
    assert main(["models", "verify", root.uri, "--all"]) == 1
    assert "wrong: function jack points to version 1" in capsys.readouterr().out


def capsys_cleared(capsys: Capture) -> Capture:
    capsys.readouterr()
    return capsys


def test_a_damaged_manifest_fails_its_version_only(local_root: Location, publish: Publish, capsys: Capture) -> None:
    publish(local_root)
    publish(local_root)
    (local_root / "_model_2/manifest.json").write(b"{}")
    document = from_json(capsys, "models", "verify", local_root.uri, "--all", code=1)
    assert [[file["problem"] for file in version["files"]] for version in document["versions"]] == [["damaged"], [None]]
    assert main(["models", "verify", local_root.uri]) == 1


def test_a_function_for_other_files_or_another_path_is_told(
    local_root: Location, tmp_path: Path, publish: Publish, package: Package, capsys: Capture
) -> None:
    manifest = publish(local_root)
    functions.point(local_root, package(local_root, "jack", 1))
    place = local_root / "_functions/jack/1/function.json"
    record = json.loads(place.read())
    record["model_path"] = "/elsewhere"
    record["model_files"] = [{"path": manifest.files[0].path, "size": 9, "sha256": "f" * 64}]
    place.write(json.dumps(record).encode())
    assert main(["models", "verify", local_root.uri]) == 1
    out = capsys.readouterr().out
    assert "function jack names model/0/model.bin, not as the manifest of version 1 does" in out
    assert "it was registered for /elsewhere, and reads its model there, not here" in out


def test_a_damaged_pointer_fails_a_verification(
    local_root: Location, publish: Publish, package: Package, capsys: Capture
) -> None:
    publish(local_root)
    functions.point(local_root, package(local_root, "jack", 1))
    (local_root / "_functions/jack/current.json").write(b"{")
    assert main(["models", "verify", local_root.uri]) == 1
    assert "_functions/jack/current.json: this is not JSON" in capsys.readouterr().out
    document = from_json(capsys, "models", "verify", local_root.uri, code=1)
    assert (document["ok"], [problem["kind"] for problem in document["problems"]]) == (False, ["FormatError"])


def test_a_version_and_all_exclude_each_other(local_root: Location, publish: Publish, capsys: Capture) -> None:
    publish(local_root)
    assert main(["models", "verify", local_root.uri, "1", "--all"]) == 2
    assert "not both" in capsys.readouterr().err


def test_all_of_nothing_is_no_good_news(local_root: Location, capsys: Capture) -> None:
    (local_root / "_model_1/claim.json").write(b"{}")
    assert main(["models", "verify", local_root.uri, "--all"]) == 2
    assert "no complete" in capsys.readouterr().err


# -- prune


def test_a_dry_run_removes_nothing_and_says_the_same(root: Location, publish: Publish, package: Package, capsys: Capture) -> None:
    for _ in range(5):
        publish(root)
    for name in ("jack", "jill"):
        functions.point(root, package(root, name, 2))
    before = root.files()
    assert main(["models", "prune", root.uri, "--keep", "2", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert told == "would remove 2 versions: 3, 1\nwould keep version 2: jack, jill point to it\n"
    dry = from_json(capsys, "models", "prune", root.uri, "--keep", "2", "--dry-run")
    assert root.files() == before
    real = from_json(capsys, "models", "prune", root.uri, "--keep", "2")
    assert real == {**dry, "dry_run": False}
    assert real["removed"] == [3, 1]
    assert real["pinned"] == [{"version": 2, "functions": ["jack", "jill"]}]
    assert layout.claimed_versions(root) == [2, 4, 5]
    assert main(["models", "prune", root.uri, "--keep", "2"]) == 0
    assert capsys.readouterr().out == "removed no version\nkept version 2: jack, jill point to it\n"


@pytest.mark.parametrize("seed", range(8))
def test_a_prune_never_removes_what_a_function_points_to(
    local_root: Location, publish: Publish, fail: Fail, package: Package, seed: int, capsys: Capture
) -> None:
    dice = random.Random(seed)
    complete = []
    for _ in range(dice.randint(1, 12)):
        if dice.random() < 0.2:
            fail(local_root)
        else:
            complete.append(publish(local_root).version)
    for _ in range(dice.randint(0, 6) if complete else 0):
        functions.point(local_root, package(local_root, dice.choice("abc"), dice.choice(complete)))
    keep, pinned, before = dice.randint(1, 4), functions.pinned_versions(local_root), set(layout.claimed_versions(local_root))
    dry = from_json(capsys, "models", "prune", local_root.uri, "--keep", str(keep), "--dry-run")["removed"]
    removed = from_json(capsys, "models", "prune", local_root.uri, "--keep", str(keep))["removed"]
    assert removed == dry == [number for number in reversed(complete[:-keep]) if number not in pinned]
    assert set(layout.claimed_versions(local_root)) == before - set(removed)
    for number in pinned:
        assert read_manifest(local_root, number).version == number


def test_what_dead_jobs_left_is_named(local_root: Location, publish: Publish, capsys: Capture) -> None:
    publish(local_root)
    claim = local_root / "_model_2/claim.json"
    claim.write(b"{}")
    os.utime(claim.path, (0, 0))
    for dry, verb in ((["--dry-run"], "would remove"), ([], "removed")):
        assert main(["models", "prune", local_root.uri, "--keep", "1", *dry]) == 0
        assert capsys.readouterr().out == f"{verb} no version\n{verb} {local_root.uri}/_model_2, left by a dead job\n"
    assert not (local_root / "_model_2").exists()


@pytest.mark.parametrize("keep", [[], ["--keep", "0"], ["--keep", "x"]])
def test_how_many_to_keep_must_be_said(local_root: Location, publish: Publish, keep: list[str]) -> None:
    publish(local_root)
    publish(local_root)
    assert main(["models", "prune", local_root.uri, *keep]) == 2
    assert layout.claimed_versions(local_root) == [1, 2]


# -- as a program


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
