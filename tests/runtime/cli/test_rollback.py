"""mlsql rollback: a function points to an earlier version again."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.model_commands import EVERY_STORAGE, Capture, Publish, from_json
from support.registrations import moves, refuse, register

from mlsql_runtime.cli.main import main
from mlsql_runtime.errors import StorageError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.functions import read_function, read_pointer
from mlsql_runtime.store.pruning import prune
from mlsql_runtime.store.rollback import choose_rollback, roll_back
from mlsql_runtime.store.versions import read_manifest

MLSQL = str(Path(sys.executable).with_name("mlsql"))
USER = f"{getpass.getuser()}@{socket.gethostname()}"


@EVERY_STORAGE
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


@EVERY_STORAGE
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
