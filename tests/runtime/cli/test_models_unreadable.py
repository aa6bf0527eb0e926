"""Commands on paths that are not model paths, and on documents that are damaged or cannot be read."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.model_commands import EVERY_STORAGE, Capture, Fail, Package, Publish, from_json

from mlsql_runtime.cli.main import main
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.publish import claim_version


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """Run as a user to whom permissions apply."""
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


COMMANDS = [["models"], ["models", "show"], ["models", "verify"], ["models", "prune", "--keep", "1"], ["functions"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@EVERY_STORAGE
def test_a_missing_path_is_not_an_empty_store(root: Location, command: list[str], capsys: Capture) -> None:
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
def test_a_path_that_holds_no_models_is_refused(
    tmp_path: Path, there: list[str], path: str, message: str, capsys: Capture
) -> None:
    for name in there:
        Location.of(f"{tmp_path}/{name}").write(b"{}")
    assert main(["models", f"{tmp_path}{path}"]) == 2
    assert message.format(tmp_path) in capsys.readouterr().err


def test_an_empty_path_is_refused(capsys: Capture) -> None:
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


@EVERY_STORAGE
def test_a_damaged_pointer_is_reported_apart(root: Location, publish: Publish, package: Package, capsys: Capture) -> None:
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
