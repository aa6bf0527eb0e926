from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from mlsql_runtime.errors import StorageError
from mlsql_runtime.feed.files.node_copy import bring_files, node_copy
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
    folders = [tmp_path / f"group-{number}" for number in range(6)]
    groups = [subprocess.Popen([sys.executable, "-c", BRING, remote.uri, str(folder)]) for folder in folders]
    assert [group.wait() for group in groups] == [0] * len(groups)
    assert [contents(folder) for folder in folders] == [DATA] * len(groups)
    assert len({(folder / "part-0.json").stat().st_ino for folder in folders}) == 1


def test_table_and_validation_data_stay_until_another_training(remote: Location, tmp_path: Path) -> None:
    validation = filled(Location.of(remote.uri.removesuffix("data") + "validate"))
    another = filled(Location.of(f"{remote.uri}-of-another/data"))
    with node_copy(remote, tmp_path) as data:
        pass
    with node_copy(validation, tmp_path) as validate:
        assert DATA.items() <= contents(data).items()
        assert DATA.items() <= contents(validate).items()
    with node_copy(another, tmp_path) as other:
        assert DATA.items() <= contents(other).items()
        assert not data.parent.exists()


def test_what_another_training_uses_right_now_stays(remote: Location, tmp_path: Path) -> None:
    another = filled(Location.of(f"{remote.uri}-of-another/data"))
    with node_copy(remote, tmp_path) as data, node_copy(another, tmp_path):
        assert DATA.items() <= contents(data).items()


def test_a_folder_of_another_user_is_not_trusted(remote: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlsql-tables").mkdir()
    monkeypatch.setattr("os.getuid", lambda: 12345)
    with pytest.raises(StorageError, match=f"{tmp_path}/mlsql-tables belongs to another user"), node_copy(remote, tmp_path):
        pytest.fail("there is nothing to see")


class Breaking(Location):
    """Storage that fails in the middle."""

    def download(self, folder: Path) -> None:
        (folder / "part-0.json").write_text("half")
        raise ConnectionError("gone")


def test_half_a_table_is_none(remote: Location, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), node_copy(Breaking(remote.fs, remote.path), tmp_path):
        pytest.fail("there is nothing to see")
    with node_copy(remote, tmp_path) as data:
        assert contents(data)["part-0.json"] == "part-0.json"
        assert [path.name for path in data.parent.iterdir()] == ["data"]
