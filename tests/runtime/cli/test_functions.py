from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.model_commands import Capture, Publish, from_json

from mlsql_runtime.cli.main import main
from mlsql_runtime.errors import StorageError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions
from mlsql_runtime.store.function_records import FunctionRecord, Refusal
from mlsql_runtime.store.functions import add_refusal, read_function, read_pointer
from mlsql_runtime.store.manifest import FORMAT_VERSION, FileEntry, ScriptFacts
from mlsql_runtime.store.pruning import prune
from mlsql_runtime.store.rollback import choose_rollback, roll_back
from mlsql_runtime.store.versions import read_manifest

MLSQL = str(Path(sys.executable).with_name("mlsql"))
USER = f"{getpass.getuser()}@{socket.gethostname()}"


def register(root: Location, name: str, version: int, score: float | None = 0.5) -> FunctionRecord:
    """As a register statement does: a package for group 0 of a version, with its model's files; the name points to it."""
    files = read_manifest(root, version).files_below("model/0")

    def record(number: int, pickle: FileEntry) -> FunctionRecord:
        return FunctionRecord(
            format_version=FORMAT_VERSION,
            function=name,
            function_version=number,
            created=read_manifest(root, version).created,
            job_id="job-2",
            contract="row",
            python="3.11",
            pickle=pickle,
            script=ScriptFacts(name="predict.py", sha256="1" * 64),
            model_path=root.uri,
            version=version,
            alg_index=0,
            score=score,
            feature_width=4,
            train_params=None,
            model_files=files,
            packages={},
        )

    made = functions.write_package(root, name, b"pickle of %d" % version, record)
    functions.set_current(root, made, "ann", f"score {score} is at least 0")
    return made


def refuse(root: Location, name: str, version: int) -> None:
    """As a register statement does when a gate does not let the version pass."""
    add_refusal(
        root,
        name,
        Refusal(
            version=version,
            alg_index=0,
            score=0.1,
            job_id="job-3",
            at=datetime.now(timezone.utc),
            by="bob",
            reason=f"version {version} is worse",
        ),
    )


@pytest.fixture
def registered(root: Location, publish: Publish) -> Location:
    """Three versions; jack was registered for each of them in turn."""
    for version in (1, 2, 3):
        publish(root, version / 4)
        register(root, "jack", version, version / 4)
    return root


@pytest.fixture
def on_disk(local_root: Location, publish: Publish) -> Location:
    """The same, on the disk."""
    for version in (1, 2, 3):
        publish(local_root, version / 4)
        register(local_root, "jack", version, version / 4)
    return local_root


def moves(root: Location, name: str = "jack") -> list[int]:
    pointer = read_pointer(root, name)
    assert pointer is not None
    return [move.function_version for move in pointer.history]


# -- functions


def test_functions_are_listed(registered: Location, capsys: Capture) -> None:
    register(registered, "jill", 1, None)
    assert main(["functions", registered.uri]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["jack", "3", "3", "0", "0.75", "2024-05-01", "12:00", "row", "predict.py"]
    assert lines[2] == ["jill", "1", "1", "0", "2024-05-01", "12:00", "row", "predict.py"]


def test_the_json_of_functions_has_documented_keys(registered: Location, capsys: Capture) -> None:
    document = from_json(capsys, "functions", registered.uri)
    (jack,) = document["functions"]
    at = jack.pop("at")
    assert at.endswith("+00:00")
    assert document == {
        "model_path": registered.uri,
        "functions": [
            {
                "function": "jack",
                "function_version": 3,
                "version": 3,
                "alg_index": 0,
                "score": 0.75,
                "created": "2024-05-01T12:00:00+00:00",
                "contract": "row",
                "python": "3.11",
                "script": "predict.py",
                "job_id": "job-2",
                "by": "ann",
                "reason": "score 0.75 is at least 0",
                "error": None,
            }
        ],
        "refused": [],
    }


def test_a_function_that_cannot_be_read_hides_no_other(registered: Location, capsys: Capture) -> None:
    register(registered, "jill", 1)
    register(registered, "joan", 1)
    pointer, package = registered / "_functions/jack/current.json", registered / "_functions/jill/1/function.json"
    pointer.write(b"{")
    package.write(b"[]")
    assert main(["functions", registered.uri]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"unreadable: {pointer.uri}: this is not JSON" in lines[1]
    assert f"unreadable: {package.uri}: " in lines[2]
    assert "predict.py" in lines[3]
    assert main(["functions", registered.uri, "jack"]) == 2
    assert pointer.uri in capsys.readouterr().err


def test_no_function_is_said(local_root: Location, publish: Publish, capsys: Capture) -> None:
    publish(local_root)
    assert main(["functions", local_root.uri]) == 0
    assert capsys.readouterr().out == f"no function is registered under {local_root.uri}\n"
    assert from_json(capsys, "functions", local_root.uri)["functions"] == []
    assert main(["functions", local_root.uri, "jack"]) == 2
    assert "holds no function 'jack'; none is registered there" in capsys.readouterr().err


def test_the_history_marks_what_is_current_and_what_is_gone(registered: Location, capsys: Capture) -> None:
    prune(registered, 2)
    assert main(["functions", registered.uri, "jack"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [line[:4] for line in lines] == [["3", "3", "0", "0.75"], ["2", "2", "0", "0.5"], ["1", "1", "0", "0.25"]]
    said = [["ann", "job-2", "score", score, "is", "at", "least", "0"] for score in ("0.75", "0.5", "0.25")]
    happened = ["registered,", "current"], ["registered"], ["registered,", "gone"]
    assert [line[6:] for line in lines] == [[*what, *rest] for what, rest in zip(happened, said, strict=True)]
    document = from_json(capsys, "functions", registered.uri, "jack")
    assert list(document) == ["model_path", "function", "history"]
    keys = "happened function_version version alg_index score job_id at by reason current available"
    assert [list(entry) for entry in document["history"]] == [keys.split()] * 3
    assert [(e["function_version"], e["current"], e["available"]) for e in document["history"]] == [
        (1, False, False),
        (2, False, True),
        (3, True, True),
    ]


def test_the_history_tells_refusals_and_rollbacks_and_why(registered: Location, capsys: Capture) -> None:
    refuse(registered, "jack", 3)
    assert main(["rollback", registered.uri, "jack", "--reason", "too slow"]) == 0
    refuse(registered, "jack", 1)
    capsys.readouterr()
    document = from_json(capsys, "functions", registered.uri, "jack")
    entries = [
        (e["happened"], e["function_version"], e["version"], e["job_id"], e["by"], e["reason"]) for e in document["history"]
    ]
    assert entries[2:] == [
        ("registered", 3, 3, "job-2", "ann", "score 0.75 is at least 0"),
        ("refused", None, 3, "job-3", "bob", "version 3 is worse"),
        ("rolled back", 2, 2, None, USER, "too slow"),
        ("refused", None, 1, "job-3", "bob", "version 1 is worse"),
    ]
    assert [(e["current"], e["available"]) for e in document["history"][3:]] == [(False, False), (True, True), (False, False)]
    assert main(["functions", registered.uri, "jack"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()) == "function version model version group score at (UTC) what by job reason"
    assert lines[1].split()[:3] == ["1", "0", "0.1"]  # no function version
    assert lines[1].split()[5:] == ["refused", "bob", "job-3", "version", "1", "is", "worse"]
    assert "rolled back, current" in lines[2]
    assert lines[2].endswith("too slow")
    (jack,) = from_json(capsys, "functions", registered.uri)["functions"]
    assert (jack["function_version"], jack["by"], jack["reason"], jack["job_id"]) == (2, USER, "too slow", None)


def test_a_name_that_was_refused_each_time_is_listed_below_the_functions(
    root: Location, publish: Publish, capsys: Capture
) -> None:
    publish(root)
    publish(root)
    refuse(root, "jack", 1)
    assert main(["functions", root.uri]) == 0
    assert capsys.readouterr().out == (f"no function is registered under {root.uri}\nrefused each time so far: jack\n")
    assert from_json(capsys, "functions", root.uri) == {"model_path": root.uri, "functions": [], "refused": ["jack"]}
    (entry,) = from_json(capsys, "functions", root.uri, "jack")["history"]
    assert (entry["happened"], entry["reason"], entry["current"]) == ("refused", "version 1 is worse", False)
    assert main(["rollback", root.uri, "jack"]) == 2
    assert "function jack of" in (err := capsys.readouterr().err)
    assert "was never registered; its last registration was refused: version 1 is worse" in err
    assert from_json(capsys, "models", root.uri)["versions"][0]["functions"] == []
    assert prune(root, 1) == [1]  # a refusal keeps nothing
    register(root, "jack", 2)
    assert from_json(capsys, "functions", root.uri)["refused"] == []


@pytest.mark.parametrize("command", ["functions", "rollback"])
@pytest.mark.parametrize(
    ("name", "message"), [("jcak", "did you mean 'jack'?"), ("x", "known are jack"), ("../jack", "no function")]
)
def test_an_error_about_an_unknown_function_names_the_known_ones(
    on_disk: Location, command: str, name: str, message: str, capsys: Capture
) -> None:
    assert main([command, on_disk.uri, name]) == 2
    assert message in capsys.readouterr().err


# -- rollback


def test_a_rollback_points_to_the_package_before(registered: Location, capsys: Capture) -> None:
    assert main(["rollback", registered.uri, "jack"]) == 0
    assert capsys.readouterr().out == (
        "jack moved from function version 3 (model version 3, group 0, score 0.75)\n"
        "     to function version 2 (model version 2, group 0, score 0.5)\n"
    )
    assert read_function(registered, "jack").version == 2
    pointer = read_pointer(registered, "jack")
    assert pointer is not None
    assert [(move.happened, move.job_id) for move in pointer.history] == [("registered", "job-2")] * 3 + [("rolled back", None)]
    assert (pointer.current.score, pointer.current.by, pointer.current.reason) == (0.5, USER, None)


def test_rolling_back_again_goes_further_until_nothing_is_before(registered: Location, capsys: Capture) -> None:
    assert [main(["rollback", registered.uri, "jack"]) for _ in range(4)] == [0, 0, 2, 2]
    assert moves(registered) == [1, 2, 3, 2, 1]
    assert "points to version 1, its first; there is no earlier one" in capsys.readouterr().err


def test_what_was_registered_after_a_rollback_goes_back_to_what_it_replaced(on_disk: Location, publish: Publish) -> None:
    assert main(["rollback", on_disk.uri, "jack"]) == 0
    publish(on_disk)
    register(on_disk, "jack", 4)
    assert [main(["rollback", on_disk.uri, "jack"]) for _ in range(3)] == [0, 0, 2]
    assert moves(on_disk) == [1, 2, 3, 2, 4, 2, 1]


def test_a_rollback_to_a_number_goes_forward_too(registered: Location) -> None:
    for number in (1, 3, 2):
        assert main(["rollback", registered.uri, "jack", "--to", str(number)]) == 0
        assert read_function(registered, "jack").function_version == number
    assert moves(registered) == [1, 2, 3, 1, 3, 2]


def test_a_dry_run_changes_nothing(registered: Location, capsys: Capture) -> None:
    before = {name: (registered / name).read() for name in registered.list_files()}
    assert main(["rollback", registered.uri, "jack", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("jack would move from function version 3")
    assert {name: (registered / name).read() for name in registered.list_files()} == before
    dry = from_json(capsys, "rollback", registered.uri, "jack", "--dry-run")
    assert from_json(capsys, "rollback", registered.uri, "jack") == {**dry, "dry_run": False}
    assert dry == {
        "model_path": registered.uri,
        "function": "jack",
        "dry_run": True,
        "by": USER,
        "reason": None,
        "before": {"function_version": 3, "version": 3, "alg_index": 0, "score": 0.75},
        "after": {"function_version": 2, "version": 2, "alg_index": 0, "score": 0.5},
    }


@pytest.mark.parametrize(
    ("to", "message"),
    [("3", "version 3 of function jack of {} is already current"), ("7", "never pointed to version 7; its history has 1, 2, 3")],
)
def test_a_number_must_be_one_it_meant_before(on_disk: Location, to: str, message: str, capsys: Capture) -> None:
    assert main(["rollback", on_disk.uri, "jack", "--to", to]) == 2
    assert message.format(on_disk.uri) in capsys.readouterr().err
    assert moves(on_disk) == [1, 2, 3]


def test_a_package_that_never_was_current_is_refused(on_disk: Location) -> None:
    register(on_disk, "jack", 3)
    pointer = on_disk / "_functions/jack/current.json"
    document = json.loads(pointer.read())
    document["history"].pop()  # as when a registration is killed before its package was tried
    pointer.write(json.dumps(document).encode())
    assert main(["rollback", on_disk.uri, "jack", "--to", "4"]) == 2


def test_a_rollback_to_a_pruned_version_is_refused(registered: Location, capsys: Capture) -> None:
    assert main(["models", "prune", registered.uri, "--keep", "1"]) == 0
    assert main(["rollback", registered.uri, "jack"]) == 2
    assert "version 2 of function jack needs model version 2, which is gone (pruned?)" in capsys.readouterr().err
    assert moves(registered) == [1, 2, 3]


def test_a_version_rolled_back_to_is_not_pruned(registered: Location) -> None:
    assert main(["rollback", registered.uri, "jack", "--to", "1"]) == 0
    assert main(["models", "prune", registered.uri, "--keep", "1"]) == 0
    assert read_manifest(registered, 1).version == 1
    assert main(["rollback", registered.uri, "jack", "--to", "2"]) == 2


@pytest.mark.parametrize(
    ("file", "change", "code", "message"),
    [
        ("_functions/jack/2/function.json", None, 2, "holds no version 2 of function 'jack'"),
        ("_functions/jack/2/function.json", b"{", 2, "_functions/jack/2/function.json: this is not JSON"),
        ("_functions/jack/2/function.pickle", None, 1, "function.pickle is missing"),
        ("_functions/jack/2/function.pickle", b"x", 1, "function.pickle is not the file its manifest names"),
        ("_model_2/model/0/model.bin", None, 1, "model.bin is missing"),
        ("_model_2/model/0/model.bin", b"weights 9", 1, "model.bin is not the file its manifest names"),
        ("_model_2/manifest.json", b"{}", 2, "_model_2/manifest.json"),
    ],
)
def test_what_is_gone_or_changed_is_refused(
    registered: Location, file: str, change: bytes | None, code: int, message: str, capsys: Capture
) -> None:
    (registered / file).remove() if change is None else (registered / file).write(change)
    assert main(["rollback", registered.uri, "jack"]) == code
    assert message in capsys.readouterr().err
    assert moves(registered) == [1, 2, 3]
    assert main(["rollback", registered.uri, "jack", "--to", "1"]) == 0


def test_what_somebody_else_did_meanwhile_is_not_undone(on_disk: Location) -> None:
    chosen = choose_rollback(on_disk, "jack")
    register(on_disk, "jack", 3)
    refuse(on_disk, "jack", 3)  # changes nothing
    with pytest.raises(StorageError, match="changed by somebody else meanwhile"):
        roll_back(on_disk, chosen, "me")
    chosen = choose_rollback(on_disk, "jack", to=2)
    prune(on_disk, 1)
    with pytest.raises(VersionNotFound, match="gone"):
        roll_back(on_disk, chosen, "me")
    assert moves(on_disk) == [1, 2, 3, 4]


def test_a_user_without_a_name_can_roll_back(publish: Publish) -> None:
    """As in a container that runs under a number."""
    code = (
        "import os, sys; import mlsql_runtime.store.rollback; from mlsql_runtime.cli.main import main; "
        "os.geteuid() or os.setuid(54321); sys.exit(main(['rollback', sys.argv[1], 'jack', '--dry-run', '--json']))"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("LOGNAME", "USER", "LNAME", "USERNAME")}
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        root = Location.of(f"{folder}/digits")
        for version in (1, 2):
            publish(root)
            register(root, "jack", version)
        command = [sys.executable, "-c", code, root.uri]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    name = getpass.getuser() if os.geteuid() else "uid 54321"
    assert json.loads(done.stdout)["by"] == f"{name}@{socket.gethostname()}"


def test_the_console_script_rolls_back(on_disk: Location) -> None:
    done = subprocess.run([MLSQL, "rollback", on_disk.uri, "jack"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_function(on_disk, "jack").version == 2
