from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlsql_runtime.errors import DataError, StorageError
from mlsql_runtime.feed.files.node_copy import bring_files, bring_json_files, node_copy
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.table_facts import encode_schema
from mlsql_runtime.storage.location import Location


def filled(place: Location) -> Location:
    for name in ("part-0.json", "day=1/part-1.json", "_SUCCESS", ".part-0.json.crc"):
        (place / name).write(name.encode())
    return place


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


DATA = {"part-0.json": "part-0.json", "day=1/part-1.json": "day=1/part-1.json"}


@pytest.fixture
def remote(s3_server: str) -> Location:
    return filled(Location.of(f"{s3_server}/{uuid.uuid4().hex}/data"))


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that an executor's tasks share."""
    folder = tmp_path / "application"
    folder.mkdir()
    monkeypatch.setenv("SPARK_EXECUTOR_DIRS", f"{folder}:/no/such/disk")
    return folder


def copied(place: Location, application: Path) -> AbstractContextManager[Path]:
    """Copy the files of a folder."""
    return node_copy(place.uri, application, place.download)


@pytest.mark.parametrize("is_kept", [False, True])
def test_local_files_are_linked_without_spark_s_own(tmp_path: Path, is_kept: bool) -> None:
    bring_files(filled(Location.of(str(tmp_path / "table"))), tmp_path / "group", is_kept)
    assert contents(tmp_path / "group") == DATA
    assert (tmp_path / "group/part-0.json").stat().st_ino == (tmp_path / "table/part-0.json").stat().st_ino


@pytest.mark.parametrize("is_kept", [False, True])
def test_files_on_another_disk_are_pointed_to_unless_they_have_to_last(tmp_path: Path, is_kept: bool) -> None:
    folder = Path("/dev/shm") / f"mlsql-test-{uuid.uuid4().hex}"
    assert folder.parent.stat().st_dev != tmp_path.stat().st_dev
    place = filled(Location.of(str(folder)))
    try:
        bring_files(place, tmp_path / "group", is_kept)
        assert contents(tmp_path / "group") == DATA
        assert (tmp_path / "group/part-0.json").is_symlink() is not is_kept
    finally:
        place.remove()
    assert contents(tmp_path / "group") == (DATA if is_kept else {})


def test_remote_files_are_brought_once_for_all_groups(tmp_path: Path, remote: Location, application: Path) -> None:
    bring_files(remote, tmp_path / "first", is_kept=False)
    remote.remove()
    bring_files(remote, tmp_path / "second", is_kept=False)
    assert contents(tmp_path / "first") == contents(tmp_path / "second") == DATA
    assert (tmp_path / "first/part-0.json").stat().st_ino == (tmp_path / "second/part-0.json").stat().st_ino


BRING = """
import sys
from pathlib import Path
from mlsql_runtime.feed.files.node_copy import bring_files
from mlsql_runtime.storage.location import Location
bring_files(Location.of(sys.argv[1]), Path(sys.argv[2]), is_kept=False)
"""


def test_groups_that_begin_together_bring_them_once(tmp_path: Path, remote: Location, application: Path) -> None:
    folders = [tmp_path / f"group-{number}" for number in range(3)]
    groups = [subprocess.Popen([sys.executable, "-c", BRING, remote.uri, str(folder)]) for folder in folders]
    assert [group.wait() for group in groups] == [0] * len(groups)
    assert [contents(folder) for folder in folders] == [DATA] * len(groups)
    assert len({(folder / "part-0.json").stat().st_ino for folder in folders}) == 1


def test_table_and_validation_data_stay_until_another_training(remote: Location, tmp_path: Path) -> None:
    validation = filled(Location.of(remote.uri.removesuffix("data") + "validate"))
    another = filled(Location.of(f"{remote.uri}-of-another/data"))
    with copied(remote, tmp_path) as data:
        pass
    with copied(validation, tmp_path) as validate:
        assert DATA.items() <= contents(data).items()
        assert DATA.items() <= contents(validate).items()
    with copied(another, tmp_path) as other:
        assert DATA.items() <= contents(other).items()
        assert not data.parent.exists()


def test_what_another_training_uses_right_now_stays(remote: Location, tmp_path: Path) -> None:
    another = filled(Location.of(f"{remote.uri}-of-another/data"))
    with copied(remote, tmp_path) as data, copied(another, tmp_path):
        assert DATA.items() <= contents(data).items()


def test_a_folder_of_another_user_is_not_trusted(remote: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlsql-tables").mkdir()
    monkeypatch.setattr("os.getuid", lambda: 12345)
    with pytest.raises(StorageError, match=f"{tmp_path}/mlsql-tables belongs to another user"), copied(remote, tmp_path):
        pytest.fail("there is nothing to see")


class Breaking(Location):
    """Storage that fails in the middle."""

    def download(self, folder: Path) -> None:
        (folder / "part-0.json").write_text("half")
        raise ConnectionError("gone")


def test_half_a_table_is_not_used(remote: Location, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), copied(Breaking(remote.root, remote.path), tmp_path):
        pytest.fail("there is nothing to see")
    with copied(remote, tmp_path) as data:
        assert contents(data)["part-0.json"] == "part-0.json"
        assert [path.name for path in data.parent.iterdir()] == ["data"]


# -- JSON files


def parquet_table(folder: Path, group: str, shared_as: str | None) -> TableFiles:
    """The table of a group, whose JSON files go to a folder of its own."""
    schema = pa.schema([("x", pa.int64())])
    (folder / "parquet").mkdir(exist_ok=True)
    pq.write_table(pa.table({"x": [1, 2]}, schema), folder / "parquet/part.parquet")
    return TableFiles(
        path=str(folder / "parquet"),
        format="parquet",
        options={},
        rows=2,
        schema=encode_schema(schema),
        json_path=str(folder / group / "data"),
        shared_as=shared_as,
    )


JSON = {"part-00000.json": '{"x":1}\n{"x":2}\n'}


def test_groups_that_ask_together_have_their_json_written_once(tmp_path: Path, application: Path) -> None:
    tables = [parquet_table(tmp_path, f"group-{number}", "/m/_staging/a/data") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda table: bring_json_files(table, lambda: False), tables))
    folders = [Path(str(table.json_path)) for table in tables]
    assert [contents(folder) for folder in folders] == [JSON] * 4
    assert len({(folder / "part-00000.json").stat().st_ino for folder in folders}) == 1


def test_json_of_another_training_is_removed(tmp_path: Path, application: Path) -> None:
    for training in ("a", "b"):
        bring_json_files(parquet_table(tmp_path, training, f"/m/_staging/{training}/data"), lambda: False)
    assert [contents(tmp_path / training / "data") for training in ("a", "b")] == [JSON] * 2
    assert len(list(application.glob("mlsql-tables/*/data.json"))) == 1


@pytest.mark.parametrize("shared_as", [None, "/m/_staging/a/data"], ids=["a folder that is kept", "outside of Spark"])
def test_json_is_not_shared(tmp_path: Path, application: Path, monkeypatch: pytest.MonkeyPatch, shared_as: str | None) -> None:
    if shared_as is not None:
        monkeypatch.delenv("SPARK_EXECUTOR_DIRS")
    bring_json_files(parquet_table(tmp_path, "group", shared_as), lambda: False)
    assert contents(tmp_path / "group/data") == JSON
    assert list(application.iterdir()) == []


def test_json_is_not_shared_with_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="mlsql-test-", dir="/dev/shm") as other_disk:
        assert os.stat(other_disk).st_dev != tmp_path.stat().st_dev
        monkeypatch.setenv("SPARK_EXECUTOR_DIRS", other_disk)
        bring_json_files(parquet_table(tmp_path, "group", "/m/_staging/a/data"), lambda: False)
        assert contents(tmp_path / "group/data") == JSON
        assert os.listdir(other_disk) == []


def test_json_is_written_where_the_shared_folder_cannot_be_locked(tmp_path: Path, application: Path) -> None:
    (application / "mlsql-tables").write_text("not a folder")
    bring_json_files(parquet_table(tmp_path, "group", "/m/_staging/a/data"), lambda: False)
    assert contents(tmp_path / "group/data") == JSON


def test_a_script_that_has_ended_does_not_wait_for_the_others(tmp_path: Path, application: Path) -> None:
    place = filled(Location.of(str(tmp_path / "stage/data")))
    with copied(place, application), pytest.raises(DataError, match="the script ended while its files were written"):
        bring_json_files(parquet_table(tmp_path, "group", place.uri), lambda: True)
