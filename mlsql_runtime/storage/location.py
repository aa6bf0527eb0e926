"""A place in storage, local or remote: the few operations that the model store is built from, on fsspec.

The promises of the store rest on three of them: :meth:`Location.create` is exclusive (of two writers one gets FileExistsError),
:meth:`Location.replace` is atomic (readers see the old bytes or the new), and :meth:`Location.copy_from` puts a finished tree in
place. No other module opens files of a model path.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from glob import has_magic
from pathlib import Path
from typing import IO, Any

import fsspec

from mlsql_runtime.errors import MLSQLError, StorageError
from mlsql_runtime.plan import NO_ACCESS, StorageAccess
from mlsql_runtime.storage import local_files
from mlsql_runtime.storage.access_errors import explain_error
from mlsql_runtime.storage.file_systems import LOCAL, Storage, StorageRoot, Write, check_promises, open_uri
from mlsql_runtime.storage.relative_paths import check_plain

CHUNK = 1 << 20
LOOKS = 16  # at files, at the same time
_TIMES = ("LastModified", "last_modified", "mtime", "modified")  # what listings call the time of the last writing
_WRITTEN = ("ETag", "etag", "mtime", "modified", "last_modified")  # what storages call the tag, or else the time, of a writing


@dataclass(frozen=True)
class FileState:
    """The size of a file in bytes, and the tag or the time of its last writing, as its storage has it."""

    size: int
    written: str


@dataclass(frozen=True)
class Location:
    """A path or URI: ``root`` is what the URI names before the path, ``path`` the place in it, ``access`` what opened it.

    It travels with its credentials, also inside Spark tasks: :meth:`at` opens other URIs with them.

    Methods raise StorageError if the storage refuses, whatever its own client raises; FileExistsError only :meth:`create`.
    """

    root: StorageRoot
    path: str
    access: StorageAccess = NO_ACCESS

    @classmethod
    def of(cls, uri: str, access: StorageAccess = NO_ACCESS) -> Location:
        """Return the location of a path or URI (``/x``, ``file:/x``, ``s3://bucket/x`` …).

        :param access: connections to storage; for URIs without one, the environment of the process decides.
        :raises InputError: when the client for its scheme is not installed, or the URI is wrong.
        """
        root, path = open_uri(uri, access)
        return cls(root, path.rstrip("/") or "/", access)

    def __reduce__(self) -> tuple[Any, ...]:
        return Location.of, (self.uri, self.access)  # clients have connections and threads, which stay in their process

    def at(self, uri: str) -> Location:
        """Return the location of another path or URI, opened with the same connections."""
        return Location.of(uri, self.access)

    def with_path(self, path: str) -> Location:
        """Return another place in the same file system."""
        return replace(self, path=path)

    def __truediv__(self, name: str) -> Location:
        return self.with_path(f"{self.path.rstrip('/')}/{name}")

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The file system of fsspec."""
        return self.root.fs

    @property
    def storage(self) -> Storage:
        """The kind of storage."""
        return self.root.storage

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def parent(self) -> Location:
        above = self.path.rpartition("/")[0]
        return self.with_path(above or "/" if self.path.startswith("/") else above)

    @property
    def uri(self) -> str:
        """The plain path for local files, the full URI for others."""
        return self.root.to_uri(self.path)

    @property
    def is_local(self) -> bool:
        """Whether files can be linked, locked to their owner and opened by path. Every error is an ``OSError`` then."""
        return self.storage is LOCAL

    # -- reading

    def exists(self) -> bool:
        with self._storage_errors("read"):
            return local_files.exists(self.path) if self.is_local else bool(self.fs.exists(self.path))

    def is_file(self) -> bool:
        with self._storage_errors("read"):
            return bool(self.fs.isfile(self.path))

    def is_dir(self) -> bool:
        with self._storage_errors("read"):
            return bool(self.fs.isdir(self.path))

    def list_names(self) -> list[str]:
        """Return the names directly below, sorted; none if there is no such folder."""
        with self._storage_errors("listed"), contextlib.suppress(*local_files.MISSING):
            entries = [entry.rstrip("/") for entry in self.fs.ls(self.path, detail=False)]
            return sorted(entry.rsplit("/", 1)[-1] for entry in entries if entry != self.path)
        return []

    def list_files(self) -> dict[str, int]:
        """Return every file below as relative path and size in bytes, sorted."""
        with self._storage_errors("listed"):
            prefix = len(self.path.rstrip("/")) + 1
            if self.is_local:
                return {path[prefix:]: status.st_size for path, status in sorted(local_files.find_files(self.path))}
            found: dict[str, dict[str, Any]] = self.fs.find(self.path, detail=True)
            return {path[prefix:]: int(info["size"]) for path, info in sorted(found.items())}

    def existing(self, names: Iterable[str]) -> set[str]:
        """Return which of these files below exist, by relative path.

        An object store lists all files below, a thousand in each request; elsewhere there is a look for each file, several at a
        time if that takes a request.
        """
        wanted = set(names)
        if not self.storage.has_folders:
            return wanted & self.list_files().keys() if wanted else wanted
        if self.is_local:
            with self._storage_errors("read"):
                return {name for name in wanted if local_files.exists(f"{self.path}/{name}")}
        if not wanted:
            return wanted
        with ThreadPoolExecutor(min(LOOKS, len(wanted))) as pool:
            found = pool.map(lambda name: name if (self / name).exists() else None, wanted)
            return {name for name in found if name is not None}

    def open(self, mode: str = "rb") -> IO[Any]:
        stream: IO[Any] = self.fs.open(self.path, mode)
        return stream

    def read(self) -> bytes:
        with self._storage_errors("read"):
            return self._read()

    def read_or_none(self) -> bytes | None:
        """Return the file's bytes, None if there is no such file, in one request."""
        with self._storage_errors("read"), contextlib.suppress(*local_files.MISSING):
            return self._read()
        return None

    def _read(self) -> bytes:
        data: bytes = self.fs.cat_file(self.path, **({} if self.is_local else _whole_file_options(self.fs.__class__)))
        return data

    def newest_write(self) -> datetime | None:
        """Return when the newest file below was written; None without a file. Most listings have the times."""
        with self._storage_errors("listed"):
            if self.is_local:
                seconds = [status.st_mtime for _, status in local_files.find_files(self.path)]
                return datetime.fromtimestamp(max(seconds), timezone.utc) if seconds else None
            found: dict[str, dict[str, Any]] = self.fs.find(self.path, detail=True)
            times = (_listed_time(info) or self.fs.modified(path) for path, info in found.items())
            newest: datetime | None = max(times, default=None)
        return newest and newest.astimezone(timezone.utc)

    def find_state(self) -> FileState | None:
        """Return what changes when the file is written again, in one request; None if there is no such file."""
        with self._storage_errors("read"), contextlib.suppress(*local_files.MISSING):
            info: dict[str, Any] = self.fs.info(self.path)
            written = next((info[key] for key in _WRITTEN if info.get(key) is not None), None)
            return FileState(int(info["size"]), "" if written is None else str(written).strip('"'))
        return None

    def sha256(self) -> str:
        with self._storage_errors("read"):
            return self._sha256()

    def sha256_or_none(self) -> str | None:
        """Return the file's digest in hex, None if there is no such file, without a request that only asks for it."""
        with self._storage_errors("read"), contextlib.suppress(*local_files.MISSING):
            return self._sha256()
        return None

    def _sha256(self) -> str:
        digest = hashlib.sha256()
        with self.open() as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def download(self, folder: Path) -> None:
        """Copy the file, or all files below, into a local folder.

        :raises InputError: when a key of an object store would lead out of the folder.
        """
        relative = self.list_files() if self.is_dir() else {"": 0}
        for name in relative:
            target = folder / check_plain(name or self.name, self.uri)
            (self / name if name else self).download_file(target)

    def download_file(self, target: Path) -> None:
        """Copy the file to a local path."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._storage_errors("read"):
            self.fs.get_file(self.path, str(target))

    # -- writing

    def write(self, data: bytes) -> None:
        with self._writing():
            self.fs.pipe_file(self.path, data)

    def write_private(self, data: bytes) -> None:
        """Write a file that only its owner may read, in a folder of which that is true too, where the storage has owners."""
        with self._writing():
            self.storage.write_private(self.fs, self.path, data)

    def create(self, data: bytes) -> None:
        """Write a file that must not exist yet.

        :raises FileExistsError: when it exists, or another process creates it at the same time.
        """
        create = self._promised(self.storage.create)
        with self._writing():
            create(self.fs, self.path, data)

    def replace(self, data: bytes) -> None:
        """Write a file so that a reader sees the old bytes or the new, and never that there is none."""
        replace = self._promised(self.storage.replace)
        with self._writing():
            replace(self.fs, self.path, data)

    def copy_from(self, source: Location) -> None:
        """Copy ``source``, a file or tree of the same file system, to here, where nothing may be yet.

        Local files are linked if the disk allows it, so this is only for files that never change.
        """

        def copy(name: str) -> None:  # not fs.cp: s3fs takes folders for keys and fails on them
            origin, target = (source / name, self / name) if name else (source, self)
            with target._writing():
                if self.is_local:
                    local_files.link_or_copy(origin.path, Path(target.path))
                else:
                    self.fs.cp_file(origin.path, target.path)

        self._write_each(copy, source.list_files())

    def upload(self, folder: Path) -> None:
        """Copy a local folder's files to here."""

        def put(name: str) -> None:
            target = self / name
            with target._writing():
                self.fs.put_file(str(folder / name), target.path)

        self._write_each(put, sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))

    def _write_each(self, write: Callable[[str], None], names: Iterable[str]) -> None:
        """Write files, several at a time if the storage makes writers wait."""
        if self.storage.writers == 1:
            for name in names:
                write(name)
            return
        with ThreadPoolExecutor(self.storage.writers) as pool:
            list(pool.map(write, names))

    def remove(self) -> None:
        """Remove the file or tree, if it exists."""
        with self._storage_errors("removed"), contextlib.suppress(FileNotFoundError):
            if self.storage.removes_literally or not has_magic(self.path):
                self.fs.rm(self.path, recursive=True)
            else:  # fsspec would remove what matches the path as a pattern
                self._remove_each()

    def _remove_each(self) -> None:
        """Remove the file, or the tree file by file."""
        below: dict[str, dict[str, Any]] = self.fs.find(self.path, withdirs=True, detail=True)
        for path, info in sorted(below.items(), reverse=True):
            if info["type"] != "directory":
                self.fs.rm_file(path)
            elif self.storage.has_folders and path != self.path:
                self.fs.rmdir(path)
        if self.storage.has_folders and self.is_dir():
            self.fs.rmdir(self.path)

    def remove_file(self) -> None:
        """Remove a file, if it exists, without a request that asks whether it is a folder."""
        with self._storage_errors("removed"), contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.path)

    def remove_if_empty(self) -> None:
        """Remove a folder that holds nothing; object stores have no empty folders."""
        if self.storage.has_folders:
            with contextlib.suppress(OSError):
                self.fs.rmdir(self.path)

    def _promised(self, write: Write | None) -> Write:
        if write is None:
            check_promises(self.uri)
            raise AssertionError("a storage has either both promises or none")
        return write

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Create the folder above, and raise StorageError for what the file system raises, but FileExistsError for the file."""
        with self._storage_errors("written"):
            try:
                if self.storage.has_folders:  # fsspec's makedirs would create buckets
                    self.fs.makedirs(self.path.rsplit("/", 1)[0] or "/", exist_ok=True)
                yield
            except FileExistsError:
                if self.exists():
                    raise
                message = f"{self.uri} cannot be written: a part of the path is a file, not a folder"
                raise StorageError(message, uri=self.uri) from None

    @contextlib.contextmanager
    def _storage_errors(self, verb: str) -> Iterator[None]:
        """Raise StorageError for what the file system raises. Those of remote clients are not all OSErrors."""
        try:
            yield
        except (MLSQLError, FileExistsError):
            raise
        except Exception as error:
            if self.is_local and not isinstance(error, (OSError, ValueError)):  # ValueError: a path with a null character
                raise
            why = f": {error}" if self.is_local else explain_error(error, self.access.find(self.uri))
            raise StorageError(f"{self.uri} cannot be {verb}{why}", uri=self.uri) from error


@functools.cache
def _whole_file_options(kind: type[fsspec.AbstractFileSystem]) -> dict[str, int]:
    """Return the options of ``cat_file`` for small files: s3fs asks for the size first, unless it fetches a single piece."""
    parameters = inspect.signature(getattr(kind, "_cat_file", kind.cat_file)).parameters
    return {"max_concurrency": 1} if "max_concurrency" in parameters else {}


def _listed_time(info: dict[str, Any]) -> datetime | None:
    return next((info[key] for key in _TIMES if isinstance(info.get(key), datetime)), None)
