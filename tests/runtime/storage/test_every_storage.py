"""What holds on every storage in which models can be kept, on real servers and emulators of each."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.fit_command import FitCommand
from support.model_commands import from_json
from support.object_servers import google_emulator
from support.stores import fail, publish

from mlsql_runtime.errors import InputError, StorageError
from mlsql_runtime.feed.files.export import spark_uri
from mlsql_runtime.storage.file_systems import check_promises
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.functions import read_function, read_pointers, remove_package, set_current
from mlsql_runtime.store.pruning import prune
from mlsql_runtime.store.verification import check_version
from mlsql_runtime.store.versions import open_store, read_manifest, read_states

if TYPE_CHECKING:
    pass

CLAIMS, REPLACEMENTS = 200, 1000
THREADS = {"local": 5, "hdfs": 5, "webhdfs": 5}  # 2 on the others, whose servers take a core for some hundred requests a second


CLAIMER = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.publish import claim_version
def claim(number):
    with claim_version(Location.of(sys.argv[1]), f"job-{number}") as draft:
        return draft.version
with ThreadPoolExecutor(int(sys.argv[3])) as pool:
    print(json.dumps(list(pool.map(claim, range(int(sys.argv[2]))))))
"""


def test_of_200_concurrent_claims_each_takes_a_number_of_its_own(root: Location, kind: str) -> None:
    command = [sys.executable, "-c", CLAIMER, root.uri, str(CLAIMS // 2), str(THREADS.get(kind, 2))]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    claimed = [number for process in processes for number in json.loads(process.communicate()[0])]
    assert sorted(claimed) == list(range(1, CLAIMS + 1))
    assert sorted(read_states(root), reverse=True) == sorted(claimed, reverse=True)


REPLACER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from mlsql_runtime.storage.location import Location
def replace(turn):
    Location.of(sys.argv[1]).replace(bytes([65 + turn % 26]) * 50_000)
with ThreadPoolExecutor(int(sys.argv[3])) as pool:
    list(pool.map(replace, range(int(sys.argv[2]))))
"""


def test_a_reader_sees_the_old_bytes_or_the_new_while_others_replace_them(root: Location, kind: str) -> None:
    place = root / "pointer"
    place.replace(b"@" * 50_000)
    writer = subprocess.Popen([sys.executable, "-c", REPLACER, place.uri, str(REPLACEMENTS), str(THREADS.get(kind, 2))])
    seen = set()
    while writer.poll() is None:
        data = place.read()
        assert (len(data), len(set(data))) == (50_000, 1)
        seen.add(data[:1])
    assert writer.returncode == 0
    assert len(seen) > 2
    assert root.list_names() == ["pointer"]


def test_of_16_threads_one_creates_the_file(root: Location) -> None:
    place = root / "claim"

    def create(number: int) -> int | None:
        try:
            place.create(b"%d" % number)
        except FileExistsError:
            return None
        return number

    with ThreadPoolExecutor(16) as pool:
        created = [number for number in pool.map(create, range(16)) if number is not None]
    assert [b"%d" % number for number in created] == [place.read()]
    with pytest.raises(FileExistsError):
        place.create(b"")


def test_files_are_written_listed_read_copied_and_removed(root: Location, tmp_path: Path) -> None:
    before = datetime.now(timezone.utc).timestamp()
    assert (root.exists(), root.is_dir(), root.is_file(), root.list_names(), root.list_files()) == (False, False, False, [], {})
    assert (root.read_or_none(), root.sha256_or_none()) == (None, None)
    (root / "a" / "b.bin").write(b"123")
    (root / "a" / "deep" / "empty").write(b"")
    (root / "ab").replace(b"x")
    assert root.list_names() == ["a", "ab"]
    assert root.list_files() == {"a/b.bin": 3, "a/deep/empty": 0, "ab": 1}
    assert root.existing(["a/b.bin", "ab", "a/c", "c/x"]) == {"a/b.bin", "ab"}
    assert (root.is_dir(), root.is_file(), (root / "ab").is_file(), (root / "ab").is_dir()) == (True, False, True, False)
    assert (root / "a" / "b.bin").sha256() == "a665a45920422f9d417e4867efdc4fb8a04a1f3fff1fa07e998e86f7f7a27ae3"
    written = root.newest_write()
    assert written is not None
    assert -3 < written.timestamp() - before < 600  # some servers have whole seconds
    assert (root / "nothing").newest_write() is None
    with (root / "a" / "b.bin").open() as stream:
        assert (stream.read(1), stream.seek(0), stream.read()) == (b"1", 0, b"123")
    (root / "copy").copy_from(root / "a")
    (root / "copied").copy_from(root / "ab")
    (root / "a").download(tmp_path / "down")
    (root / "up").upload(tmp_path / "down")
    assert root.list_files() == {
        **{f"{folder}/{name}": size for folder in ("a", "copy", "up") for name, size in (("b.bin", 3), ("deep/empty", 0))},
        "ab": 1,
        "copied": 1,
    }
    (root / "ab").remove_file()
    (root / "ab").remove_file()
    (root / "a").remove()
    assert root.list_names() == ["copied", "copy", "up"]
    with pytest.raises(StorageError):
        (root / "a").read()


def test_removing_takes_no_name_for_a_pattern(root: Location) -> None:
    for other in ("m1", "m", "m 1"):
        (root / other / "x").write(b"")
    before = root.list_files()
    for name in ("m*", "m?", "m[1]", "m#", "m%31", "{m,m1}"):
        (root / name / "a*" / "x?").write(b"1")
        assert (root / name).list_files() == {"a*/x?": 1}
        assert (root / name / "a*" / "x?").read() == b"1"
        (root / name).remove()
        assert root.list_files() == before


def test_spark_gets_a_uri_of_hadoop(root: Location, kind: str) -> None:
    schemes = {"local": "file:///", "s3": "s3a://", "azure": "abfss://models@devstoreaccount1.dfs.core.windows.net/"}
    assert spark_uri(root).startswith(schemes.get(kind, root.uri))
    assert spark_uri(root).endswith(root.uri.rpartition("//")[2].partition("/")[2])


def test_a_location_travels_to_another_process(root: Location) -> None:
    (root / "x").write(b"1")
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).read())"
    found = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(root / "x"), capture_output=True, check=True)
    assert found.stdout == b"b'1'\n"


def test_versions_are_published_registered_verified_and_pruned(root: Location, package: Callable[..., FunctionRecord]) -> None:
    root, other = root / "m[1]*?", root / "m1-x"  # a name which the first one would match as a pattern
    assert [publish(other.uri, 0.5), publish(other.uri, 0.5)] == [1, 2]
    beside = other.list_files()
    assert [publish(root.uri, 0.5), publish(root.uri, 0.9, 0.7), fail(root.uri, "no data")] == [1, 2, 3]
    assert read_manifest(root).version == 2
    record = package(root, "digits", 1)
    set_current(root, record)
    assert read_function(root, "digits") == record
    assert {check.problem for check in check_version(root, 2, read_pointers(root)).checks} == {None}
    assert [publish(root.uri, 0.9) for _ in range(2)] == [4, 5]
    assert prune(root, 1) == [4, 2]
    assert open_store(root.uri).versions == (5, 3, 1)
    assert read_states(root) == {5: "complete", 3: "failed", 1: "complete"}
    remove_package(root, record)
    assert other.list_files() == beside


SCRIPT = b"""
import mlsql, mlsql_model
with open(mlsql.params()["internalSystemParam"]["resource"]["words"]) as words:
    print("words:", words.read())
mlsql_model.sk_save_model({"rows": len(mlsql.all_data()[1])})
"""


@pytest.mark.parametrize("kind", ["hdfs", "webhdfs", "azure", "google"])
def test_scripts_data_and_resources_are_read_from_it(
    root: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "train.py").write(SCRIPT)
    (root / "words.txt").write(b"yes and no")
    (root / "data" / "part-0.json").write(b'{"features":[1,2],"label":0}\n')
    fit = FitCommand(tmp_path, monkeypatch, capsys)
    data, words = f"json.`{root.uri}/data/part-*.json`", f"resource.words={root.uri}/words.txt"
    done = fit(f"{root.uri}/train.py", "--data", data, "--fit-param", words, "--model-dir", f"{root.uri}/model")
    assert (done.returncode, "words: yes and no" in done.stdout + done.stderr) == (0, True)
    assert (root / "model").list_names() != []
    assert publish(f"{root.uri}/digits", 0.5) == 1
    assert from_json(capsys, "models", "list", f"{root.uri}/digits")["versions"][0]["score"] == 0.5


@pytest.mark.parametrize("uri", ["memory://models/digits", "ftp://127.0.0.1/models", "http://127.0.0.1/models", "zip://models"])
def test_storage_without_the_promises_is_refused_by_name(uri: str) -> None:
    with pytest.raises(InputError, match=uri.partition("://")[0]):
        check_promises(uri)


def test_a_store_that_ignores_conditions_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with google_emulator(heeds_conditions=False) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "tests")
        place = Location.of("gs://models/claim.json")
        with pytest.raises(InputError, match=address):
            place.create(b"1")
        assert not place.exists()


@pytest.mark.parametrize(
    ("uri", "package", "extra"),
    [
        ("hdfs://127.0.0.1/x", "hdfs_native", "hdfs"),
        ("s3://b/x", "s3fs", "s3"),
        ("abfss://c@a.dfs.core.windows.net/x", "adlfs", "azure"),
        ("gs://b/x", "gcsfs", "gcs"),
    ],
)
def test_a_client_that_is_missing_is_an_error_that_names_the_extra(uri: str, package: str, extra: str) -> None:
    start = f"import sys; sys.modules[{package!r}] = None; from mlsql_runtime.storage.location import Location"
    code = f"{start}; Location.of({uri!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"run pip install 'airflow-provider-mlsql[{extra}]'" in done.stderr
