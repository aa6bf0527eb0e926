"""The project that is kept with a version, and what register and predict find in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.stores import make_fit_record, make_manifest

from mlsql_runtime.errors import IntegrityError, ScriptNotFound
from mlsql_runtime.plan import ScriptUse
from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.script.kept_project import find_script, read_script
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import Manifest, ScriptFacts
from mlsql_runtime.store.project_files import pack_files, split_private_files
from mlsql_runtime.store.publish import claim_version

MLPROJECT = """
entry_points:
  main:
    train: {command: "python fit.py"}
    api_predict: {command: "python serve.py"}
    batch_predict:
      parameters: {size: {type: int, default: 3}}
      command: "python batch.py {size}"
"""
FILES = {
    "MLproject": MLPROJECT.encode(),
    "fit.py": b"print(1)",
    "serve.py": b"print(2)",
    "batch.py": b"print(3)",
    "data/a\\b:c.csv": b"\0\xff",  # a name that a zip of a user may not have
}


@pytest.fixture
def publish_with(local_root: Location) -> Callable[[ScriptBundle | None], Manifest]:
    """Publish a version that keeps a bundle, or none."""

    def make(bundle: ScriptBundle | None) -> Manifest:
        with claim_version(local_root, "job") as draft:
            (draft.folder / "model/0/model.pickle").write(b"a model")
            if bundle is not None:
                (draft.folder / layout.PROJECT).write(pack_files(bundle.files))
            manifest = make_manifest(draft.version, [make_fit_record(0, 0.9)], files=draft.file_entries())
            draft.publish(manifest)
        return manifest

    return make


PublishWith = Callable[[ScriptBundle | None], Manifest]


def test_a_packed_project_depends_on_its_files_only() -> None:
    assert pack_files(FILES) == pack_files(dict(reversed(FILES.items())))


def test_hidden_files_and_keys_are_not_kept() -> None:
    private = {
        **dict.fromkeys(
            (".env", "data/.secrets/a", ".netrc", "server.pem", "conf/Server.KEY", "id_rsa", "keys/id_ed25519"), b"hush"
        ),
        **dict.fromkeys(
            ("store.p12", "prod.env", "client_secret.json", "credentials", "aws_credentials.csv", "x.tfvars"), b"hush"
        ),
        "service.json": b'{"private_key": "-----BEGIN PRIVATE KEY-----\\nMII"}',
        "deploy": b"-----BEGIN OPENSSH PRIVATE KEY-----",
    }
    public = FILES | dict.fromkeys(("secrets.py", "env.py", "keys.csv", "monkey", "secretary.json", "id_rsa.pub", "ca.crt"), b"1")
    kept, left_out = split_private_files(private | public)
    assert kept == public
    assert left_out == list(private)


@pytest.mark.parametrize(("statement", "entry"), [("register", "serve.py"), ("predict", "batch.py")])
def test_each_statement_gets_its_entry_point(local_root: Location, publish_with: PublishWith, statement: str, entry: str) -> None:
    bundle = read_script(None, statement, local_root, publish_with(ScriptBundle("fit.py", FILES)))
    assert (bundle.entry, bundle.files) == (entry, FILES)
    assert bundle.fill({}, "fitParam.0") == ({"size": "3"} if statement == "predict" else {})


def test_a_given_script_is_the_one(local_root: Location, publish_with: PublishWith, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("print(4)")
    manifest = publish_with(ScriptBundle("fit.py", FILES))
    assert read_script(str(tmp_path / "own.py"), "register", local_root, manifest).entry == "own.py"


def test_a_script_alone_is_none_for_other_statements(local_root: Location, publish_with: PublishWith) -> None:
    manifest = publish_with(ScriptBundle("train.py", {"train.py": b"print(1)"}))
    with pytest.raises(
        ScriptNotFound, match=r"has no predict\.py, which register needs; its scripts are train\.py: .*pythonScript"
    ):
        read_script(None, "register", local_root, manifest)


def test_a_version_without_a_project_asks_for_a_script(local_root: Location, publish_with: PublishWith) -> None:
    with pytest.raises(ScriptNotFound, match=r"version 1 of .* does not contain the project that trained it; name a script as"):
        read_script(None, "predict", local_root, publish_with(None))


def test_a_changed_project_is_not_run(local_root: Location, publish_with: PublishWith) -> None:
    manifest = publish_with(ScriptBundle("fit.py", FILES))
    (layout.version_dir(local_root, 1) / layout.PROJECT).write(pack_files({**FILES, "serve.py": b""}))
    with pytest.raises(IntegrityError, match=r"project\.zip is not the file its manifest names"):
        read_script(None, "register", local_root, manifest)


def test_a_built_in_algorithm_is_found_by_its_name(local_root: Location) -> None:
    manifest = make_manifest(1, [make_fit_record(0, 0.9)], script=ScriptFacts(name="builtin:sklearn", sha256="0" * 64))
    assert read_script(None, "register", local_root, manifest).name == "builtin:sklearn"
    with pytest.raises(ScriptNotFound, match=r"has no batch_predict\.py; set pythonScriptPath"):
        read_script(None, "predict", local_root, manifest)


def test_the_project_of_a_training_that_has_not_run_yet(tmp_path: Path) -> None:
    for name in ("train.py", "predict.py"):
        (tmp_path / name).write_text("print(1)")
    folder = ScriptUse(path=str(tmp_path), role="train")
    assert find_script(None, "register", folder).entry == "predict.py"
    with pytest.raises(ScriptNotFound, match=r"no batch_predict\.py, which predict needs"):
        find_script(None, "predict", folder)
    alone = ScriptUse(path=str(tmp_path / "train.py"), role="train")
    with pytest.raises(ScriptNotFound, match=r"no predict\.py"):
        find_script(None, "register", alone)
    assert find_script(str(tmp_path / "predict.py"), "register", alone) == read_bundle(str(tmp_path / "predict.py"), "register")
    assert find_script(None, "register", ScriptUse(path="builtin:sklearn", role="train")).name == "builtin:sklearn"


@pytest.mark.parametrize("name", ["../escaped.py", "/etc/cron.d/x", "a/" * 5000 + "x.py", "n" * 300])
def test_a_kept_project_with_a_path_out_of_its_folder_is_not_unpacked(
    local_root: Location, publish_with: PublishWith, name: str
) -> None:
    manifest = publish_with(ScriptBundle("fit.py", {**FILES, name: b"print(1)"}))
    with pytest.raises(
        IntegrityError, match=r"_model_1/project\.zip has the entry .* not a plain path.*no training has written it"
    ):
        read_script(None, "register", local_root, manifest)


def test_a_kept_project_that_is_no_zip_is_an_error_of_ours(local_root: Location, publish_with: PublishWith) -> None:
    manifest = publish_with(ScriptBundle("fit.py", FILES))
    place = layout.version_dir(local_root, 1) / layout.PROJECT
    place.write(place.read()[:100])
    entries = tuple(replace(each, sha256=place.sha256()) if each.path == layout.PROJECT else each for each in manifest.files)
    with pytest.raises(IntegrityError, match=r"project\.zip cannot be unpacked"):
        read_script(None, "register", local_root, replace(manifest, files=entries))
