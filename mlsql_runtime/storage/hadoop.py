"""What HDFS does alike under both of its protocols, as a file system of fsspec: whole files, exact paths, errors by kind.

The file systems of fsspec and hdfs-native for HDFS split paths as URIs, so that ``m?`` is ``m``, have no exclusive creation, and
take a failed connection for a file that does not exist. :mod:`.hdfs` and :mod:`.webhdfs` provide the requests; the rest is here.
"""

from __future__ import annotations

import contextlib
import getpass
import io
import os
import shutil
import uuid
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import IO, Any, ClassVar

import fsspec

CHUNK = 1 << 20


class StorageFullError(OSError):
    """A file was created, and HDFS has no room for its bytes."""


_KINDS: Mapping[str, type[OSError]] = {
    "FileNotFoundException": FileNotFoundError,
    "FileAlreadyExistsException": FileExistsError,
    "AlreadyBeingCreatedException": FileExistsError,
    "ParentNotDirectoryException": NotADirectoryError,
    "AccessControlException": PermissionError,
    "SecurityException": PermissionError,
    "StandbyException": ConnectionError,
    "DSQuotaExceededException": StorageFullError,
}

_ADVICE: Mapping[str, str] = {
    "SafeModeException": "retry when the NameNode has left that mode",
    "DSQuotaExceededException": "remove files, or raise the quota; HDFS reserves a whole block for each file that is written",
    "NSQuotaExceededException": "remove files, or raise the quota",
}
UNREACHED = "check that the NameNode and the DataNodes run, and that this machine reaches them"
_NO_ROOM = "could only be written to 0 of "  # of the DataNodes


class HadoopFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """A file system that takes absolute paths as they are, and opens files to read them."""

    root_marker = "/"
    sep: ClassVar[str] = "/"

    # -- the requests

    @abstractmethod
    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return name, size, type and time of a file or folder.

        :raises FileNotFoundError: when there is neither.
        """

    @abstractmethod
    def list_folder(self, path: str) -> Iterable[dict[str, Any]]:
        """Yield the :meth:`info` of each file and folder in a folder; of a file, its own."""

    @abstractmethod
    def open_stream(self, path: str) -> IO[bytes]:
        """Open a file to read it from its beginning to its end."""

    @abstractmethod
    def create_stream(self, path: str, data: IO[bytes], permission: int = 0o644) -> None:
        """Write a file that does not exist, in a folder that exists. If it cannot be written whole, remove it.

        :raises FileExistsError: when it exists, or is being written.
        """

    @abstractmethod
    def set_permission(self, path: str, permission: int) -> None:
        """Set who may read and write a file or folder."""

    @abstractmethod
    def rename_over(self, path: str, target: str) -> None:
        """Rename a file, which atomically replaces the target if there is one."""

    @abstractmethod
    def delete(self, path: str, recursive: bool) -> None:
        """Delete a file or folder, if it exists."""

    # -- what is made of them

    def write_stream(self, path: str, data: IO[bytes], permission: int = 0o644) -> None:
        """Write a file in a folder that exists, or replace it: write one beside it, and rename that.

        Overwriting is not atomic on HDFS, but renaming is. If it fails, the path means what it has meant before, also if another
        writer has replaced the file meanwhile.
        """
        staged = f"{path}.{uuid.uuid4().hex}.tmp"
        try:
            self.create_stream(staged, data, permission)
            self.rename_over(staged, path)
        except BaseException:
            with contextlib.suppress(OSError):
                self.delete(staged, recursive=False)
            raise

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def exists(self, path: str, **kwargs: Any) -> bool:
        return self._type(path) is not None

    def isfile(self, path: str) -> bool:
        return self._type(path) == "file"

    def isdir(self, path: str) -> bool:
        return self._type(path) == "directory"

    def _type(self, path: str) -> str | None:
        try:
            found: str = self.info(path)["type"]
            return found
        except (FileNotFoundError, NotADirectoryError):
            return None

    def modified(self, path: str) -> datetime:
        time: datetime = self.info(path)["modified"]
        return time

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        return [each if detail else each["name"] for each in self.list_folder(path)]

    def find(self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **kwargs: Any) -> Any:
        found = {each["name"]: each for each in self._walk(path) if withdirs or each["type"] == "file"}
        return found if detail else sorted(found)

    def _walk(self, path: str) -> Iterator[dict[str, Any]]:
        try:
            below = list(self.list_folder(path))
        except (FileNotFoundError, NotADirectoryError):
            return
        for each in below:
            yield each
            if each["type"] == "directory":
                yield from self._walk(each["name"])

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        with self.open_stream(path) as stream:
            return stream.read()[start:end]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        write = self.write_stream if mode == "overwrite" else self.create_stream
        write(path, io.BytesIO(value))

    def get_file(self, rpath: str, lpath: str, **kwargs: Any) -> None:
        with self.open_stream(rpath) as source, open(lpath, "wb") as target:
            shutil.copyfileobj(source, target, CHUNK)

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        with open(lpath, "rb") as source:
            self.write_stream(rpath, source)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        with self.open_stream(path1) as source:
            self.write_stream(path2, source)

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        self.delete(path, recursive)

    def rm_file(self, path: str) -> None:
        self.delete(path, recursive=False)


def find_user() -> str:
    """Return the user without Kerberos, as Hadoop's own client and Spark do.

    In a container of YARN, the process is often that of the node's user, and the user of the job is in ``SPARK_USER``.
    """
    return os.environ.get("HADOOP_USER_NAME") or os.environ.get("SPARK_USER") or getpass.getuser()


def create_file(fs: HadoopFileSystem, path: str, data: bytes) -> None:
    """Write a file that must not exist. The NameNode lets one of several writers create it.

    :raises FileExistsError: when it exists, or is being written.
    """
    fs.create_stream(path, io.BytesIO(data))


def replace_file(fs: HadoopFileSystem, path: str, data: bytes) -> None:
    """Write a file so that readers see the old bytes or the new."""
    fs.write_stream(path, io.BytesIO(data))


def write_private(fs: HadoopFileSystem, path: str, data: bytes) -> None:
    """Write a file that only its owner may read, in a folder of which that is true too."""
    fs.set_permission(path.rpartition("/")[0] or "/", 0o700)
    fs.write_stream(path, io.BytesIO(data), permission=0o600)


def to_time(milliseconds: int) -> datetime:
    """Return a time of Hadoop's."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=timezone.utc)


def hadoop_error(kind: str, message: str) -> OSError:
    """Return the error of Python for one of Hadoop's.

    :param kind: the name of the Java class, with or without its package.
    :param message: may end in a Java stack trace, which is left out.
    """
    reason = message.replace("\\n\\tat ", "\n").split("\n")[0].strip('" ')
    if "(is not a directory)" in reason:
        return NotADirectoryError(reason)
    name = kind.rpartition(".")[2]
    if _NO_ROOM in reason:
        return StorageFullError(f"{reason.rstrip('. ')}; look whether the DataNodes run and have room")
    advice = f"; {_ADVICE[name]}" if name in _ADVICE else ""
    return _KINDS.get(name, OSError)(reason.rstrip(". ") + advice)
