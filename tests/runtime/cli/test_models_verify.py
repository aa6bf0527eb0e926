"""mlsql models verify: whether all files are what their manifests say."""

from __future__ import annotations

import json
from pathlib import Path

from support.model_commands import EVERY_STORAGE, Capture, Fail, Package, Publish, from_json

from mlsql_runtime.cli.main import main
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions


def test_an_intact_version_is_verified(root: Location, publish: Publish, package: Package, capsys: Capture) -> None:
    publish(root)
    functions.set_current(root, package(root, "jack", 1))
    assert main(["models", "verify", root.uri]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "version 1",
        "  ok          _model_1/model/0/model.bin (9 B)",
        "  function jack, version 1 (current)",
        "  ok          _functions/jack/1/function.json",
        "  ok          _functions/jack/1/function.pickle (8 B)",
        f"nothing differs: 3 files of 1 version of {root.uri}",
    ]


@EVERY_STORAGE
def test_every_problem_is_reported(root: Location, publish: Publish, package: Package, capsys: Capture) -> None:
    publish(root, 0.5, 0.6, 0.7)
    functions.set_current(root, package(root, "jack", 1))
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
    assert "3 problems in" in out


def test_all_versions_are_verified(root: Location, publish: Publish, fail: Fail, package: Package, capsys: Capture) -> None:
    publish(root)
    fail(root)
    publish(root)
    functions.set_current(root, package(root, "jack", 1))
    (root / "_functions/jack/1/function.json").remove()
    assert main(["models", "verify", root.uri]) == 0  # the newest
    document = from_json(capsys_cleared(capsys), "models", "verify", root.uri, "--all", code=1)
    assert [version["version"] for version in document["versions"]] == [3, 1]
    assert document["versions"][1]["functions"][0]["files"][0]["problem"] == "missing"
    (root / "_model_1").remove()
    document = from_json(capsys, "models", "verify", root.uri, "--all", code=1)
    assert document["orphans"][0]["files"][0]["message"] == "function jack points to version 1, which does not exist"
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


def test_a_version_whose_manifest_cannot_be_read_is_not_passed_over(
    local_root: Location, publish: Publish, package: Package, capsys: Capture
) -> None:
    publish(local_root)
    publish(local_root)
    functions.set_current(local_root, package(local_root, "jack", 2))
    manifest = Path(local_root.path) / "_model_2/manifest.json"
    manifest.unlink()
    manifest.symlink_to(manifest.name)  # a loop
    for arguments, versions in ([], [2]), (["--all"], [2, 1]):
        document = from_json(capsys, "models", "verify", local_root.uri, *arguments, code=3)
        assert [version["version"] for version in document["versions"]] == versions
        assert document["versions"][0]["files"][0]["problem"] == "unreadable"
        assert document["orphans"] == []


def test_a_function_for_other_files_or_another_path_is_reported(
    local_root: Location, tmp_path: Path, publish: Publish, package: Package, capsys: Capture
) -> None:
    manifest = publish(local_root)
    functions.set_current(local_root, package(local_root, "jack", 1))
    place = local_root / "_functions/jack/1/function.json"
    record = json.loads(place.read())
    record["model_path"] = "/elsewhere"
    record["model_files"] = [{"path": manifest.files[0].path, "size": 9, "sha256": "f" * 64}]
    place.write(json.dumps(record).encode())
    assert main(["models", "verify", local_root.uri]) == 1
    out = capsys.readouterr().out
    assert "function jack names model/0/model.bin with another size or digest than the manifest of version 1" in out
    assert "it was registered for /elsewhere, and reads its model there, not here" in out


def test_a_damaged_pointer_fails_a_verification(
    local_root: Location, publish: Publish, package: Package, capsys: Capture
) -> None:
    publish(local_root)
    functions.set_current(local_root, package(local_root, "jack", 1))
    (local_root / "_functions/jack/current.json").write(b"{")
    assert main(["models", "verify", local_root.uri]) == 1
    assert "_functions/jack/current.json: this is not JSON" in capsys.readouterr().out
    document = from_json(capsys, "models", "verify", local_root.uri, code=1)
    assert (document["ok"], [problem["kind"] for problem in document["problems"]]) == (False, ["FormatError"])


def test_a_version_and_all_exclude_each_other(local_root: Location, publish: Publish, capsys: Capture) -> None:
    publish(local_root)
    assert main(["models", "verify", local_root.uri, "1", "--all"]) == 2
    assert "not both" in capsys.readouterr().err


def test_verifying_all_versions_of_an_empty_store_fails(local_root: Location, capsys: Capture) -> None:
    (local_root / "_model_1/claim.json").write(b"{}")
    assert main(["models", "verify", local_root.uri, "--all"]) == 2
    assert "no complete" in capsys.readouterr().err
