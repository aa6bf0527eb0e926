"""HDFS by both of its protocols: configuration, users, quotas, and processes that are forked."""

from __future__ import annotations

import getpass
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from support.stores import publish

from mlsql_runtime.errors import InputError, StorageError
from mlsql_runtime.storage.location import Location

if TYPE_CHECKING:
    from hadoop import Hdfs

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
