"""What holds on every storage in which models can be kept, on real servers and emulators of each."""

from __future__ import annotations

import getpass
import io
import json
import os
import pickle
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
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
    from hadoop import Hdfs

KINDS = ("local", "hdfs", "webhdfs", "s3", "azure", "google")
# WebHDFS makes the same requests to the same NameNode as HDFS, each through a servlet that takes several times as long.
REPLACEMENTS = {"webhdfs": 150}  # 1,000 on the others
CLAIMS = {"webhdfs": 60}  # 200 on the others
THREADS = {"local": 5, "hdfs": 5, "webhdfs": 5}  # 2 on the others, whose servers take a core for some hundred requests a second


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def root(kind: str, hdfs: Hdfs, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Location]:
    """A model path that does not exist yet."""
    bases = {"local": str(tmp_path), "hdfs": hdfs.uri, "webhdfs": hdfs.web_uri}
    base = bases.get(kind) or request.getfixturevalue(f"{kind}_server")
    place = Location.of(f"{base}/{uuid.uuid4().hex}/digits")
    yield place
    place.parent.remove()


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
    claims = CLAIMS.get(kind, 200)
    command = [sys.executable, "-c", CLAIMER, root.uri, str(claims // 2), str(THREADS.get(kind, 2))]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    claimed = [number for process in processes for number in json.loads(process.communicate()[0])]
    assert sorted(claimed) == list(range(1, claims + 1))
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
    writer = subprocess.Popen(
        [sys.executable, "-c", REPLACER, place.uri, str(REPLACEMENTS.get(kind, 1000)), str(THREADS.get(kind, 2))]
    )
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
    assert -3 < (root / "ab").modified_at().timestamp() - before < 600  # some servers have whole seconds
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


NAMES = """<configuration>
<property><name>fs.defaultFS</name><value>hdfs://service</value></property>
<property><name>dfs.ha.namenodes.service</name><value>dead,alive</value></property>
<property><name>dfs.namenode.rpc-address.service.dead</name><value>127.0.0.1:1</value></property>
<property><name>dfs.namenode.rpc-address.service.alive</name><value>{address}</value></property>
<property><name>dfs.client.failover.proxy.provider.service</name>
<value>org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider</value></property>
<property><name>fs.viewfs.mounttable.all.link./mounted</name><value>{uri}{path}</value></property>
<property><name>fs.viewfs.mounttable.all.linkFallback</name><value>{uri}/</value></property>
</configuration>"""
BY_NAME = """
import sys
from mlsql_runtime.storage.location import Location
for number, uri in enumerate(sys.argv[1:]):
    place = Location.of(uri) / "file"
    if number == 0:
        place.create(b"0")
    print(place.uri, place.read().decode())
    place.replace(b"%d" % (number + 1))
"""


@pytest.mark.parametrize("kind", ["hdfs"])
def test_services_and_mount_tables_are_named_in_the_configuration(root: Location, hdfs: Hdfs, tmp_path: Path) -> None:
    text = NAMES.format(address=hdfs.uri.removeprefix("hdfs://"), uri=hdfs.uri, path=root.path)
    (tmp_path / "core-site.xml").write_text(text)
    uris = [f"hdfs://service{root.path}", f"hdfs://{root.path}", "viewfs://all/mounted"]
    done = subprocess.run(
        [sys.executable, "-c", BY_NAME, *uris],
        env={**os.environ, "HADOOP_CONF_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{uri}/file {number}" for number, uri in enumerate(uris)]
    assert (root / "file").read() == b"3"


@pytest.mark.parametrize("kind", ["hdfs", "webhdfs"])
def test_a_quota_that_is_exceeded_leaves_no_part_of_a_file(root: Location, hdfs: Hdfs) -> None:
    (root / "old").write(b"1")
    url = f"http://127.0.0.1:{hdfs.web_port}/webhdfs/v1{root.path}?user.name={getpass.getuser()}"
    httpx.put(f"{url}&op=SETQUOTA&namespacequota=100&storagespacequota=1000").raise_for_status()
    exceeded = r" cannot be written: The DiskSpace quota of .* is exceeded: .*; remove files, or raise the quota; HDFS reserves"
    new = root / "new"
    for write in (new.create, new.replace, new.write, new.write_private):
        with pytest.raises(StorageError, match=exceeded):
            write(b"2")
        assert root.list_names() == ["old"]
    with pytest.raises(StorageError, match=exceeded):
        publish(root.uri, 0.5)
    assert root.list_names() == ["old"]
    with pytest.raises(StorageError, match=exceeded):
        (root / "old").replace(b"2")
    assert (root / "old").read() == b"1"


@pytest.mark.parametrize("kind", ["hdfs"])
def test_a_write_that_fails_leaves_what_another_writer_has_put_there(root: Location) -> None:
    place = root / "file"
    place.write(b"old")

    class LostStream(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                place.replace(b"new")
                raise OSError("the stream is lost")
            return super().read(2)

    with pytest.raises(OSError, match="the stream is lost"):
        place.fs.write_stream(place.path, LostStream(b"1234"))
    assert place.read() == b"new"
    assert root.list_names() == ["file"]


@pytest.mark.parametrize("kind", ["hdfs", "webhdfs"])
def test_secrets_on_hdfs_are_for_their_owner(root: Location, hdfs: Hdfs) -> None:
    from hdfs_native import Client

    (root / "job" / "secrets.json").write(b"loud")
    (root / "job" / "secrets.json").write_private(b"hush")
    client = Client(hdfs.uri)
    modes = [client.get_file_info(f"{root.path}/{name}").permission for name in ("job", "job/secrets.json")]
    assert modes == [0o700, 0o600]
    assert (root / "job" / "secrets.json").read() == b"hush"


@pytest.mark.parametrize("kind", ["hdfs", "webhdfs"])
def test_the_user_of_a_job_in_a_container_is_that_of_spark(root: Location, hdfs: Hdfs) -> None:
    from hdfs_native import Client

    (root / "mine").write(b"")
    client = Client(hdfs.uri)
    client.set_permission(root.path, 0o777)
    code = "import sys; from mlsql_runtime.storage.location import Location; Location.of(sys.argv[1]).write(b'')"
    env = {name: value for name, value in os.environ.items() if name != "HADOOP_USER_NAME"} | {"SPARK_USER": "alice"}
    subprocess.run([sys.executable, "-c", code, f"{root.uri}/hers"], env=env, check=True)
    assert client.get_file_info(f"{root.path}/hers").owner == "alice"
    client.set_permission(root.path, 0o755)
    done = subprocess.run([sys.executable, "-c", code, f"{root.uri}/his"], env=env, capture_output=True, text=True, check=False)
    refused = rf"StorageError: {root.uri}/his cannot be written: Permission denied: user=alice, access=WRITE, .*; give the user"
    assert re.search(refused, done.stderr)
    assert root.list_names() == ["hers", "mine"]


@pytest.mark.parametrize("scheme", ["hdfs", "webhdfs"])
def test_a_namenode_that_does_not_run_is_an_error_that_says_so(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlsql_runtime.storage.hdfs.SINGLE_NAMENODE_ATTEMPTS", "1")
    place = Location.of(f"{scheme}://127.0.0.1:1/x")
    for look in (place.exists, place.list_names, place.read_or_none, lambda: place.replace(b"")):
        with pytest.raises(StorageError, match=rf"^{scheme}://127.0.0.1:1/x cannot be .*; check that the NameNode and the"):
            look()


@pytest.mark.parametrize("folder", [None, "empty", "missing"])
@pytest.mark.parametrize("uri", ["hdfs:///x", "hdfs://service/x", "viewfs://all/x"])
def test_a_name_that_no_configuration_explains_is_an_error_that_says_so(
    uri: str, folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    monkeypatch.delenv("HADOOP_HOME", raising=False)
    if folder is not None:
        monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path / folder))
    found = "not set" if folder is None else tmp_path / folder
    with pytest.raises(InputError, match=rf"^{uri}: .*; HADOOP_CONF_DIR is {found}, and should be the folder with the core-site"):
        Location.of(uri)


FORK = """
import os, sys
from mlsql_runtime.storage.location import Location
place = Location.of(sys.argv[1])
place.exists()
if os.fork() == 0:
    for look in (place.exists, lambda: Location.of(sys.argv[1])):
        try:
            look()
        except Exception as error:
            print(error, flush=True)
    os._exit(0)
os.wait()
"""


def test_hdfs_is_an_error_where_its_client_would_hang_after_a_fork(hdfs: Hdfs) -> None:
    done = subprocess.run([sys.executable, "-c", FORK, hdfs.uri], capture_output=True, text=True, check=True)
    assert done.stdout.count("this process is a fork of one that has opened HDFS") == 2


FORKED_BEFORE_A_PROGRAM = """
import subprocess, sys
from mlsql_runtime.storage.location import Location
Location.of(sys.argv[1]).exists()
subprocess.run(["true"], preexec_fn=lambda: None, check=True)
print("done")
"""


def test_a_process_that_has_opened_hdfs_starts_programs(hdfs: Hdfs) -> None:
    """As PySpark starts Java: in a fork, where the end of hdfs-native's client would wait forever."""
    command = [sys.executable, "-c", FORKED_BEFORE_A_PROGRAM, hdfs.uri]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "done\n"


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
