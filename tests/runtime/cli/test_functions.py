"""mlsql functions: the registered functions of a model path, and the history of one."""

from __future__ import annotations

import getpass
import socket

import pytest
from support.model_commands import EVERY_STORAGE, Capture, Publish, from_json
from support.registrations import refuse, register

from mlsql_runtime.cli.main import main
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.pruning import prune

USER = f"{getpass.getuser()}@{socket.gethostname()}"


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
                "input": "matrix",
                "returns": "vector",
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


def test_a_path_without_functions_prints_a_sentence(local_root: Location, publish: Publish, capsys: Capture) -> None:
    publish(local_root)
    assert main(["functions", local_root.uri]) == 0
    assert capsys.readouterr().out == f"no function is registered under {local_root.uri}\n"
    assert from_json(capsys, "functions", local_root.uri)["functions"] == []
    assert main(["functions", local_root.uri, "jack"]) == 2
    assert "holds no function 'jack'; none is registered there" in capsys.readouterr().err


def test_a_current_package_that_is_gone_is_marked(registered: Location, capsys: Capture) -> None:
    (registered / "_functions/jack/3").remove()
    assert main(["functions", registered.uri, "jack"]) == 0
    assert "registered, current, gone" in capsys.readouterr().out


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
    keys = "version alg_index score job_id at by reason threshold happened function_version current available"
    assert [list(entry) for entry in document["history"]] == [keys.split()] * 3
    assert [(e["function_version"], e["current"], e["available"]) for e in document["history"]] == [
        (1, False, False),
        (2, False, True),
        (3, True, True),
    ]


@EVERY_STORAGE
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
