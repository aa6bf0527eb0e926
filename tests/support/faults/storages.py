"""The storage of a case's files: how its job calls them, and how the campaign reaches them past every fault."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

SMALL_DISK = "small disk"
_SMALL = 8 << 20  # bytes


class Storage(Protocol):
    """A folder of the case, with subfolders such as ``m``, the model path."""

    def uri(self, name: str) -> str:
        """Return what the job calls a subfolder."""

    def put(self, folder: Path, name: str) -> None:
        """Write the files of a local folder into a subfolder."""

    def get(self, name: str) -> Path:
        """Return a local folder with the files of a subfolder."""

    def list_files(self) -> list[str]:
        """Return the paths of all files, relative to the case's folder."""

    def read(self, file: str) -> bytes: ...

    def write(self, file: str, content: bytes) -> None: ...

    def publish(self, file: str, content: bytes) -> None:
        """Write a file that readers see whole or not at all."""

    def remove(self, file: str) -> None: ...

    def clear(self) -> None:
        """Remove everything."""


@dataclass(frozen=True)
class LocalStorage:
    """A folder of this machine."""

    folder: Path

    def uri(self, name: str) -> str:
        return str(self.folder / name)

    def put(self, folder: Path, name: str) -> None:
        shutil.copytree(folder, self.folder / name, dirs_exist_ok=True)

    def get(self, name: str) -> Path:
        return self.folder / name

    def list_files(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())

    def read(self, file: str) -> bytes:
        return (self.folder / file).read_bytes()

    def write(self, file: str, content: bytes) -> None:
        (self.folder / file).write_bytes(content)

    def publish(self, file: str, content: bytes) -> None:
        self.write(f"{file}.new", content)
        (self.folder / f"{file}.new").rename(self.folder / file)

    def remove(self, file: str) -> None:
        (self.folder / file).unlink()

    def clear(self) -> None:
        pass  # the folder is removed with that of the case


@dataclass(frozen=True)
class RemoteStorage:
    """A folder of an object store or of HDFS.

    :param root: what the job calls the folder.
    :param system: a file system of fsspec.
    :param path: the folder in it.
    :param copies: for local copies of subfolders.
    """

    root: str
    system: Any
    path: str
    copies: Path

    def uri(self, name: str) -> str:
        return f"{self.root}/{name}"

    def put(self, folder: Path, name: str) -> None:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.write(f"{name}/{file.relative_to(folder).as_posix()}", file.read_bytes())

    def get(self, name: str) -> Path:
        target = Path(tempfile.mkdtemp(dir=self.copies)) / name
        for file in self.list_files():
            if file.startswith(f"{name}/"):
                copy = target.parent / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(self.read(file))
        return target

    def list_files(self) -> list[str]:
        return sorted(str(path).rpartition(f"{self.path}/")[2] for path in self.system.find(self.path))

    def read(self, file: str) -> bytes:
        content: bytes = self.system.cat_file(f"{self.path}/{file}")
        return content

    def write(self, file: str, content: bytes) -> None:
        self.system.pipe_file(f"{self.path}/{file}", content)

    def publish(self, file: str, content: bytes) -> None:
        self.write(f"{file}.new", content)
        self.system.mv(f"{self.path}/{file}.new", f"{self.path}/{file}")

    def remove(self, file: str) -> None:
        self.system.rm_file(f"{self.path}/{file}")

    def clear(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.system.rm(self.path, recursive=True)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a disk of some megabytes at a folder, which takes root."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SMALL}", "faults", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def open_s3(url: str) -> Any:
    """Return the file system of an S3 server."""
    import fsspec

    return fsspec.filesystem(
        "s3", endpoint_url=url, key="test", secret="test", use_listings_cache=False, skip_instance_cache=True
    )


def open_webhdfs(port: int) -> Any:
    """Return the file system of a NameNode's HTTP port."""
    import getpass

    import fsspec

    return fsspec.filesystem("webhdfs", host="127.0.0.1", port=port, user=getpass.getuser(), skip_instance_cache=True)
