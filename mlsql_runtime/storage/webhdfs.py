"""``webhdfs://``: HDFS over HTTP, by the requests of WebHDFS. Sessions, Kerberos and tokens are those of fsspec.

https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/WebHDFS.html; the parameter ``renameoptions`` is that of
Hadoop's ``RenameOptionSetParam``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import quote, urlsplit

import requests
from fsspec.implementations.webhdfs import WebHDFS
from fsspec.spec import AbstractBufferedFile

from mlsql_runtime.errors import InputError
from mlsql_runtime.storage.hadoop import UNREACHED, HadoopFileSystem, StorageFullError, find_user, hadoop_error, to_time

DEFAULT_PORT = 9870
_TIMEOUT = (30, 600)  # seconds to connect, and between two bytes


class WebHdfsFileSystem(HadoopFileSystem, WebHDFS):  # type: ignore[misc]
    """HDFS by way of a NameNode's HTTP address.

    :param authority: host and port.
    :param options: arguments of fsspec's ``WebHDFS``: ``user``, ``password``, ``token``, ``kerberos``, ``use_https`` …
    """

    protocol = "webhdfs"

    def __init__(self, authority: str, **options: Any) -> None:
        host, _, port = authority.partition(":")
        if not {"user", "token", "kerberos"} & options.keys():
            options["user"] = find_user()
        WebHDFS.__init__(self, host, int(port or DEFAULT_PORT), **options)

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return _to_info(self._ask("GET", path, "GETFILESTATUS").json()["FileStatus"], path)

    def list_folder(self, path: str) -> Iterator[dict[str, Any]]:
        for status in self._ask("GET", path, "LISTSTATUS").json()["FileStatuses"]["FileStatus"]:
            yield _to_info(status, f"{path.rstrip('/')}/{status['pathSuffix']}" if status["pathSuffix"] else path)

    def open_stream(self, path: str) -> IO[bytes]:
        stream: IO[bytes] = self._fetch(path, stream=True).raw
        return stream

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> IO[bytes]:
        if mode != "rb":
            raise ValueError(f"{path} was to be opened in mode {mode}; expected rb")
        file: IO[bytes] = _File(self, path)
        return file

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return a part of a file."""
        return self._fetch(path, offset=start, length=end - start).content

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        return self._fetch(path).content[start:end]

    def create_stream(self, path: str, data: IO[bytes], permission: int = 0o644) -> None:
        found = self._ask("PUT", path, "CREATE", overwrite="false", permission=f"{permission:o}")
        try:
            self._send("PUT", self._apply_proxy(found.headers["Location"]), data=data)
        except StorageFullError:
            with contextlib.suppress(OSError):
                self.delete(path, recursive=False)
            raise

    def set_permission(self, path: str, permission: int) -> None:
        self._ask("PUT", path, "SETPERMISSION", permission=f"{permission:o}")

    def rename_over(self, path: str, target: str) -> None:
        response = self._ask("PUT", path, "RENAME", destination=target, renameoptions="OVERWRITE")
        if response.content.strip():  # of a gateway that does not know renameoptions: whether it has renamed
            raise InputError(
                f"{self.url} cannot replace a file atomically: it does not know the option OVERWRITE of RENAME, as a "
                "NameNode does; use a NameNode's address, or hdfs://"
            )

    def delete(self, path: str, recursive: bool) -> None:
        self._ask("DELETE", path, "DELETE", recursive=str(recursive).lower())

    def rmdir(self, path: str) -> None:
        self.delete(path, recursive=False)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._ask("PUT", path, "MKDIRS")

    def _fetch(self, path: str, stream: bool = False, **parameters: int) -> requests.Response:
        response = self._ask("GET", path, "OPEN", stream=stream, **parameters)
        if "Location" in response.headers:
            response = self._send("GET", self._apply_proxy(response.headers["Location"]), stream=stream)
        return response

    def _ask(self, method: str, path: str, operation: str, stream: bool = False, **parameters: object) -> requests.Response:
        url = self._apply_proxy(self.url + quote(path))
        return self._send(method, url, stream=stream, params={"op": operation, **parameters, **self.pars})

    def _send(self, method: str, url: str, **arguments: Any) -> requests.Response:
        try:
            response = self.session.request(method, url, allow_redirects=False, timeout=_TIMEOUT, **arguments)
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as cause:
            host = urlsplit(url).netloc
            raise ConnectionError(f"{host} cannot be reached ({type(cause).__name__}); {UNREACHED}") from cause
        if response.status_code < 400:
            found: requests.Response = response
            return found
        try:
            error = response.json()["RemoteException"]
        except (ValueError, KeyError):
            raise OSError(f"HTTP status {response.status_code} {response.reason}") from None
        raise hadoop_error(error["exception"], error["message"])


class _File(AbstractBufferedFile):  # type: ignore[misc]
    """A file that is read in ranges."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.read_range(self.path, start, end)
        return data


def _to_info(status: dict[str, Any], path: str) -> dict[str, Any]:
    kind = "directory" if status["type"] == "DIRECTORY" else "file"
    return {"name": path, "size": status["length"], "type": kind, "modified": to_time(status["modificationTime"])}
