from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFile

from mlsql_runtime.errors import InputError, StorageError
from mlsql_runtime.storage.file_systems import normalize
from mlsql_runtime.storage.location import Location


@pytest.mark.parametrize(
    ("uri", "shown", "name"),
    [
        ("/a/b", "/a/b", "b"),
        ("/a/b/", "/a/b", "b"),
        ("file:/a/b", "/a/b", "b"),
        ("file:///a/b/", "/a/b", "b"),
        ("memory://a/b", "memory:///a/b", "b"),
        ("/", "/", ""),
    ],
)
def test_a_uri_is_shown_as_people_know_it(uri: str, shown: str, name: str) -> None:
    place = Location.of(uri)
    assert (place.uri, place.name, place.is_local) == (shown, name, not uri.startswith("memory"))
    assert place.is_local is (normalize(uri) == shown)  # fsspec alone knows how it shows a path of its own storages
    assert (place / "c").uri == shown.rstrip("/") + "/c"


def test_an_s3_uri_keeps_its_scheme(s3_server: str) -> None:
    assert s3_server.startswith("s3://")
    assert (Location.of(f"{s3_server}/a") / "b").uri == f"{s3_server}/a/b"
    for uri in (f"{s3_server}/a/", f"{s3_server.replace('s3:', 's3a:')}/a"):
        assert normalize(uri) == Location.of(uri).uri == f"{s3_server}/a"


@pytest.mark.parametrize("uri", ["s3://b/../c", "hdfs://127.0.0.1:1/a/..", "memory://x/../y"])
def test_a_uri_has_no_parent_folders(uri: str) -> None:
    with pytest.raises(InputError, match=r"a URI cannot contain '\.\.'; write the path without it$"):
        Location.of(uri)


@pytest.mark.parametrize("uri", ["nosuchscheme://b/x", "nosuchscheme:///x"])
def test_an_unknown_scheme_is_refused_by_name(uri: str) -> None:
    with pytest.raises(InputError, match="nosuchscheme") as caught:
        Location.of(uri)
    assert caught.value.facts == {"uri": uri}


def test_a_file_is_written_listed_read_and_removed(root: Location) -> None:
    (root / "a" / "b.bin").write(b"123")
    (root / "a" / "c").write(b"")
    (root / "ab").write(b"x")
    assert root.list_names() == ["a", "ab"]
    assert (root / "a").list_files() == {"b.bin": 3, "c": 0}
    assert root.list_files() == {"a/b.bin": 3, "a/c": 0, "ab": 1}
    assert (root / "a" / "b.bin").read() == b"123"
    assert (root / "a" / "b.bin").sha256() == "a665a45920422f9d417e4867efdc4fb8a04a1f3fff1fa07e998e86f7f7a27ae3"
    assert (root.is_dir(), root.is_file(), (root / "ab").is_file(), (root / "ab").is_dir()) == (True, False, True, False)
    (root / "a").remove()
    assert root.list_files() == {"ab": 1}
    assert not (root / "a").exists()


def test_removing_a_folder_spares_the_one_whose_name_begins_alike(root: Location) -> None:
    (root / "_model_1" / "x").write(b"1")
    (root / "_model_10" / "x").write(b"10")
    (root / "_model_1").remove()
    assert root.list_files() == {"_model_10/x": 2}


@pytest.mark.parametrize("name", ["m*", "m?", "m[12]", "m [1]", "[m]", "{m,n}", "**"])
def test_removing_takes_no_name_for_a_pattern(root: Location, name: str) -> None:
    for other in ("m1", "m2", "m 1", "m", "n"):
        (root / other / "x").write(b"1")
    before = root.list_files()
    (root / name / "a [1]" / "x*").write(b"1")
    (root / name / "y").write(b"1")
    assert (root / name).list_files() == {"a [1]/x*": 1, "y": 1}
    (root / name / "y").remove()
    (root / name).remove()
    assert root.list_files() == before
    assert not (root / name).exists()


def test_what_is_not_there_lists_nothing_and_can_be_removed(root: Location) -> None:
    assert (root.exists(), root.is_dir(), root.is_file(), root.list_names(), root.list_files()) == (False, False, False, [], {})
    root.remove()
    assert not root.exists()


def test_of_many_names_those_that_are_there(root: Location) -> None:
    for name in ("a/x", "a/y", "b/x"):
        (root / name).write(b"1")
    assert root.existing(["a/x", "b/x", "b/y", "c/x"]) == {"a/x", "b/x"}
    assert root.existing([]) == set()
    assert (root / "nowhere").existing(["a/x"]) == set()


def test_an_error_of_the_disk_is_raised_and_does_not_mean_missing(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for look in (Location.of(str(tmp_path / "loop")).exists, lambda: Location.of(str(tmp_path)).existing(["loop"])):
        with pytest.raises(StorageError, match=r"cannot be read: .*loop"):
            look()


def test_a_folder_that_cannot_be_listed_hides_no_files(tmp_path: Path) -> None:
    place = Location.of(str(tmp_path))
    (place / "file").write(b"1")
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # deeper than a path may be long
        os.mkdir("d" * 250, dir_fd=folder)
        above, folder = folder, os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(above)
    os.close(folder)
    for look in (place.list_files, place.newest_write):
        with pytest.raises(StorageError, match=r"cannot be listed: .*too long"):
            look()


def test_a_file_is_removed_without_asking_what_it_is(root: Location) -> None:
    (root / "a" / "x").write(b"1")
    (root / "a" / "y").write(b"1")
    for _ in range(2):  # the second time there is none
        (root / "a" / "x").remove_file()
    (root / "nowhere" / "x").remove_file()
    assert root.list_files() == {"a/y": 1}


def test_a_file_that_is_not_there_has_no_digest(root: Location) -> None:
    assert (root / "a").sha256_or_none() is None
    with pytest.raises(StorageError):
        (root / "a").sha256()
    (root / "a").write(b"123")
    assert (root / "a").sha256_or_none() == (root / "a").sha256()


def test_a_failed_removal_is_an_error(tmp_path: Path) -> None:
    place = Location.of(str(tmp_path))
    with pytest.raises(StorageError, match="cannot be removed"):
        place.remove_file()  # a folder
    assert place.is_dir()


def test_create_refuses_what_exists_and_keeps_it(root: Location) -> None:
    place = root / "claim.json"
    place.create(b"first")
    with pytest.raises(FileExistsError):
        place.create(b"second")
    assert place.read() == b"first"


def test_of_16_threads_one_creates_the_file(local_root: Location) -> None:
    barrier = threading.Barrier(16)

    def create(number: int) -> int | None:
        barrier.wait()
        try:
            (local_root / "claim").create(b"%d" % number)
        except FileExistsError:
            return None
        return number

    with ThreadPoolExecutor(16) as pool:
        created = [number for number in pool.map(create, range(16)) if number is not None]
    assert [b"%d" % number for number in created] == [(local_root / "claim").read()]


def test_replace_writes_and_overwrites(root: Location) -> None:
    for data in (b"first", b"2"):
        (root / "pointer").replace(data)
        assert (root / "pointer").read() == data
    assert root.list_names() == ["pointer"]


WRITER = """
import sys
from mlsql_runtime.storage.location import Location
place = Location.of(sys.argv[1])
for turn in range(150):
    place.replace(bytes([65 + turn % 26]) * (1 << 18))
"""


def test_a_reader_never_sees_half_of_what_is_replaced(local_root: Location) -> None:
    place = local_root / "pointer"
    place.replace(b"@" * (1 << 18))
    writer = subprocess.Popen([sys.executable, "-c", WRITER, place.path])
    seen = set()
    while writer.poll() is None:
        data = place.read()
        assert len(data) == 1 << 18
        assert len(set(data)) == 1
        seen.add(data[:1])
    assert writer.returncode == 0
    assert len(seen) > 2
    assert local_root.list_names() == ["pointer"]


def test_a_replacement_that_fails_leaves_the_old_bytes_and_no_rest(local_root: Location) -> None:
    (local_root / "pointer" / "inside").write(b"old")
    with pytest.raises(StorageError, match="pointer"):
        (local_root / "pointer").replace(b"new")
    assert local_root.list_files() == {"pointer/inside": 3}


@pytest.mark.parametrize("operation", ["write", "create", "replace"])
@pytest.mark.parametrize("below", ["file/x", "file/x/y"])
def test_a_path_below_a_file_cannot_be_written(local_root: Location, operation: str, below: str) -> None:
    (local_root / "file").write(b"1")
    place = Location.of(f"{local_root.uri}/{below}")
    with pytest.raises(StorageError) as caught:
        getattr(place, operation)(b"2")
    assert caught.value.facts == {"uri": place.uri}
    assert (local_root / "file").read() == b"1"


def test_a_file_has_nothing_below_it(root: Location) -> None:
    (root / "7").write(b"1")
    assert (root / "7").list_names() == []


def test_a_tree_is_copied_into_place(root: Location) -> None:
    (root / "staging" / "model" / "a").write(b"1")
    (root / "staging" / "model" / "deep" / "b").write(b"2")
    (root / "_model_1" / "model" / "0").copy_from(root / "staging" / "model")
    (root / "staging").remove()
    assert root.list_files() == {"_model_1/model/0/a": 1, "_model_1/model/0/deep/b": 1}
    assert (root / "_model_1" / "model" / "0" / "deep" / "b").read() == b"2"


def test_a_file_is_copied_into_place(root: Location) -> None:
    (root / "staging" / "log").write(b"line")
    (root / "_model_1" / "logs" / "0.log").copy_from(root / "staging" / "log")
    assert root.list_files() == {"_model_1/logs/0.log": 4, "staging/log": 4}


def test_a_private_file_is_written_wherever_it_is(root: Location) -> None:
    (root / "job" / "secrets.json").write_private(b"hush")
    assert (root / "job" / "secrets.json").read() == b"hush"
    if root.is_local:
        assert stat.S_IMODE(Path(root.path, "job", "secrets.json").stat().st_mode) == 0o600


def test_a_folder_goes_up_and_comes_down_unchanged(root: Location, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep").mkdir(parents=True)
    (source / "a.bin").write_bytes(bytes(range(256)))
    (source / "deep" / "empty").write_bytes(b"")
    root.upload(source)
    root.download(target)
    assert {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()} == {
        "a.bin": bytes(range(256)),
        "deep/empty": b"",
    }


def test_one_file_comes_down_under_its_own_name(root: Location, tmp_path: Path) -> None:
    (root / "words.txt").write(b"a b")
    (root / "words.txt").download(tmp_path / "target")
    assert (tmp_path / "target" / "words.txt").read_bytes() == b"a b"


def test_only_an_empty_folder_is_removed_if_empty(local_root: Location) -> None:
    (local_root / "a" / "x").write(b"1")
    (local_root / "a").remove_if_empty()
    assert (local_root / "a").exists()
    (local_root / "a" / "x").remove()
    (local_root / "a").remove_if_empty()
    assert not (local_root / "a").exists()


@pytest.mark.parametrize("key", ["/escaped", "a/../../escaped", "a//b"])
def test_a_key_of_an_object_store_that_leads_out_of_the_folder_is_not_downloaded(tmp_path: Path, key: str) -> None:
    root = Location.of(f"memory:///{uuid.uuid4().hex}")
    root.fs.store[f"{root.path}/{key}"] = MemoryFile(root.fs, f"{root.path}/{key}", b"x")
    with pytest.raises(InputError, match="is not one below its folder"):
        root.download(tmp_path / "target")
    assert not list(tmp_path.rglob("escaped"))
    del root.fs.store[f"{root.path}/{key}"]
