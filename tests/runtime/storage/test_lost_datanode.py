"""A DataNode of HDFS that has ended, and which the NameNode still offers to clients."""

from __future__ import annotations

from pathlib import Path

import pytest
from hadoop import HdfsProcesses
from support.stores import publish

from mlsql_runtime.errors import StorageError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.versions import read_manifest


def test_files_are_written_while_one_datanode_is_left_and_no_part_of_one_otherwise(tmp_path: Path, starts_jvm: None) -> None:
    with HdfsProcesses(tmp_path / "hdfs") as processes:
        root = Location.of(f"{processes.hdfs.uri}/m")
        processes.data_nodes[0].kill()
        # of each file, the NameNode offers the lost DataNode in every second try
        for number in range(10):
            (root / f"file-{number}").create(b"1")
        with pytest.raises(FileExistsError):
            (root / "file-0").create(b"2")
        (root / "file-0").replace(b"3" * (3 << 20))
        assert ((root / "file-0").read(), (root / "file-1").read()) == (b"3" * (3 << 20), b"1")
        assert {root.fs.client.get_file_info(f"{root.path}/file-{number}").replication for number in range(10)} == {2}
        assert publish(root.uri, 0.5) == 1
        assert read_manifest(root).version == 1
        before = root.list_files()
        processes.data_nodes[1].kill()
        for write in ((root / "new").create, (root / "file-1").replace, (root / "new").write):
            with pytest.raises(StorageError, match="check that the NameNode and the DataNodes run"):
                write(b"4")
        assert root.list_files() == before
