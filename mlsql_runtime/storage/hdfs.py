"""``hdfs://`` and ``viewfs://`` through hdfs-native, which needs neither Java nor a Hadoop installation."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import shutil
import time
from collections.abc import Iterator
from typing import IO, Any

from hdfs_native import Client, FileReader, FileStatus, WriteOptions

from mlsql_runtime.storage.hadoop import CHUNK, UNREACHED, HadoopFileSystem, find_user, hadoop_error, to_time

_KERBEROS = ("kerberos_principal", "kerberos_keytab", "kerberos_cache")
_RPC_ERROR = re.compile(r'RPCError\("([\w.$]+)", (.*)\)', re.DOTALL)
_NO_ADDRESS = re.compile(r'InvalidArgument\("(.*)"\)')
_NO_CONNECTION = re.compile(r"failed to lookup|Connection |Network |No route |RPC listener disconnected|.*timed out")
_ATTEMPTS = "dfs.client.failover.max.attempts"
SINGLE_NAMENODE_ATTEMPTS = "3"  # some ten seconds, as in Hadoop's own client; there is no other one to take over
SINGLE_REPLICA_TRIES = 20  # with one of two DataNodes gone, five would fail for one file in 32
SINGLE_REPLICA_SECONDS = 60  # after which no further try begins, where a try takes long
_first_user: int | None = None  # the process whose threads run hdfs-native
# fsspec drops its file systems in every forked process, such as that from which PySpark starts Java. There, the end of a client
# would wait forever for threads that are not forked; so clients have no end.
_clients: list[Client] = []


class HdfsFileSystem(HadoopFileSystem):
    """HDFS by its own protocol. Addresses that are not in the URI, Kerberos and the like come from ``HADOOP_CONF_DIR``.

    :param authority: of the URI: host and port of a NameNode, or the name of a service or a mount table.
    :param options: properties of Hadoop, which go before those in ``HADOOP_CONF_DIR``.
    """

    protocol = ("hdfs", "viewfs")

    def __init__(self, scheme: str, authority: str, **options: Any) -> None:
        super().__init__(scheme, authority, **options)
        kerberos = {name: options.pop(name) for name in _KERBEROS if name in options}
        config = {name: str(value) for name, value in options.items() if "." in name}  # not those of fsspec
        if ":" in authority:
            config = {_ATTEMPTS: SINGLE_NAMENODE_ATTEMPTS} | config
        if "SPARK_USER" in os.environ:
            os.environ.setdefault("HADOOP_USER_NAME", find_user())  # hdfs-native would take the user of the process
        try:
            with _hdfs_errors():
                self.client = Client(f"{scheme}://{authority}" if authority else None, config, **kerberos)
            _clients.append(self.client)
        except OSError as error:
            match = _NO_ADDRESS.fullmatch(str(error))
            if match is None:
                raise
            raise ValueError(f"{match[1]}; {_describe_configuration()}") from None

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        with _hdfs_errors():
            return _to_info(self.client.get_file_info(path))

    def list_folder(self, path: str) -> Iterator[dict[str, Any]]:
        with _hdfs_errors():
            yield from map(_to_info, self.client.list_status(path))

    def open_stream(self, path: str) -> IO[bytes]:
        with _hdfs_errors():
            return io.BufferedReader(_Reader(self.client.read(path)), CHUNK)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> IO[bytes]:
        if mode != "rb":
            raise ValueError(f"{path} was to be opened in mode {mode}; expected rb")
        return self.open_stream(path)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        with _hdfs_errors():
            return self.client.read(path).read()[start:end]

    def create_stream(self, path: str, data: IO[bytes], permission: int = 0o644) -> None:
        """Write a file that does not exist, see :class:`HadoopFileSystem`.

        For ten minutes the NameNode may choose a DataNode that has ended, and hdfs-native does not ask for another one. The file
        is written again then, with a single replica, until the one DataNode responds; HDFS adds the other replicas.
        """
        begin = data.tell() if data.seekable() else None
        replicas, tries, end = 0, SINGLE_REPLICA_TRIES, math.inf
        while True:
            with _hdfs_errors():
                count = 1 if replicas else None
                options = WriteOptions(overwrite=False, permission=permission, create_parent=False, replication=count)
                file = self.client.create(path, options)
            try:
                with _hdfs_errors():
                    shutil.copyfileobj(data, file, CHUNK)
                    file.close()
                break
            except BaseException as error:  # the file exists, and is empty or half
                found = self._remove_half_written(path)
                end = min(end, time.monotonic() + SINGLE_REPLICA_SECONDS)  # from the first failure
                is_over = not tries or time.monotonic() > end
                if not isinstance(error, ConnectionError) or not found or begin is None or is_over:
                    raise
                replicas = replicas or found
            tries -= 1
            data.seek(begin)
        if replicas:
            with contextlib.suppress(OSError, RuntimeError):
                self.client.set_replication(path, replicas)

    def _remove_half_written(self, path: str) -> int:
        """Remove a file, and return how many replicas it should have had; 0 if the NameNode does not respond either."""
        with contextlib.suppress(OSError, RuntimeError):
            replicas = self.client.get_file_info(path).replication or 0
            self.client.delete(path, False)
            return replicas
        return 0

    def set_permission(self, path: str, permission: int) -> None:
        with _hdfs_errors():
            self.client.set_permission(path, permission)

    def rename_over(self, path: str, target: str) -> None:
        with _hdfs_errors():
            self.client.rename(path, target, overwrite=True)

    def delete(self, path: str, recursive: bool) -> None:
        with _hdfs_errors():
            self.client.delete(path, recursive)

    def rmdir(self, path: str) -> None:
        self.delete(path, recursive=False)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        with _hdfs_errors():
            self.client.mkdirs(path, create_parent=True)


class _Reader(io.RawIOBase):
    """A file of hdfs-native with the method that a buffer needs."""

    def __init__(self, file: FileReader) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        with _hdfs_errors():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _unescape(text: str) -> str:
    """Return the first line of a text as Rust shows it for debugging."""
    return text.strip('"').partition("\\n")[0].replace('\\"', '"')


def _describe_configuration() -> str:
    """Say where the addresses of NameNodes are looked for."""
    folder = os.environ.get("HADOOP_CONF_DIR")
    found = f"HADOOP_CONF_DIR is {folder}" if folder else "HADOOP_CONF_DIR is not set"
    return f"{found}, and should be the folder with the core-site.xml and hdfs-site.xml of the cluster"


def _to_info(status: FileStatus) -> dict[str, Any]:
    return {
        "name": status.path,
        "size": status.length,
        "type": "directory" if status.isdir else "file",
        "modified": to_time(status.modification_time),
    }


def _refuse_fork() -> None:
    """Raise instead of waiting forever: a forked process has none of the threads that hdfs-native has started."""
    global _first_user
    _first_user = _first_user or os.getpid()
    if _first_user != os.getpid():
        raise OSError("this process is a fork of one that has opened HDFS, where hdfs-native would hang; start it with spawn")


@contextlib.contextmanager
def _hdfs_errors() -> Iterator[None]:
    """Raise OSErrors of one line for what hdfs-native raises."""
    _refuse_fork()
    try:
        yield
    except OSError as error:
        reason = str(error).partition("\n")[0]
        if isinstance(error, (ConnectionError, TimeoutError)) or (type(error) is OSError and _NO_CONNECTION.match(reason)):
            raise ConnectionError(f"{reason}; {UNREACHED}") from None
        if len(error.args) == 1:
            raise type(error)(reason) from None
        raise
    except RuntimeError as error:
        match = _RPC_ERROR.fullmatch(str(error))
        if match is None:
            raise OSError(_unescape(str(error))) from None
        raise hadoop_error(match[1], _unescape(match[2])) from None
