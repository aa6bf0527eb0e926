"""A place in storage, local or remote: the few operations the model store is built from, on fsspec.

Three of them carry the store's promises: :meth:`Location.create` is exclusive (of two writers one gets
FileExistsError), :meth:`Location.replace` is atomic (readers see the old bytes or the new), and
:meth:`Location.copy_from` brings a finished tree into place.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from mlsql_runtime.errors import InputError, StorageError

CHUNK = 1 << 20
_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl")  # have no folders; makedirs would create buckets


@dataclass(frozen=True)
class Location:
    """A URI, opened: ``fs`` is the file system and ``path`` the place in it."""

    fs: fsspec.AbstractFileSystem
    path: str

    @classmethod
    def of(cls, uri: str) -> Location:
        """Open a path or URI (``/x``, ``file:/x``, ``s3://bucket/x`` …).

        :raises InputError: when no fsspec backend for its scheme is installed.
        """
        if uri.startswith("file:/") and not uri.startswith("file://"):
            uri = "file://" + uri[len("file:") :]  # Spark writes file:/x, which fsspec does not split
        if "::" in uri:
            raise InputError(f"{uri}: '::' joins file systems in fsspec, which model paths and data cannot use", uri=uri)
        try:
            fs, path = url_to_fs(uri, use_listings_cache=False)
        except OSError as error:
            raise StorageError(f"{uri} cannot be reached: {error}", uri=uri) from error
        except (ImportError, ValueError) as error:
            raise InputError(
                f"{uri}: no file system for this scheme ({error}); install the fsspec backend for it, such as s3fs for s3://",
                uri=uri,
            ) from error
        return cls(fs, path.rstrip("/") or "/")

    def __truediv__(self, name: str) -> Location:
        return Location(self.fs, f"{self.path.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def parent(self) -> Location:
        return Location(self.fs, self.path.rpartition("/")[0])

    @property
    def uri(self) -> str:
        """The plain path for local files, the full URI for others."""
        return self.path if self.is_local else str(self.fs.unstrip_protocol(self.path))

    @property
    def is_local(self) -> bool:
        return isinstance(self.fs, LocalFileSystem)

    @property
    def _is_object_store(self) -> bool:
        protocols = (self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol
        return any(protocol in _OBJECT_STORES for protocol in protocols)

    def exists(self) -> bool:
        with self._in_words():
            return bool(self.fs.exists(self.path))

    def is_file(self) -> bool:
        with self._in_words():
            return bool(self.fs.isfile(self.path))

    def is_dir(self) -> bool:
        with self._in_words():
            return bool(self.fs.isdir(self.path))

    def list_names(self) -> list[str]:
        """What lies directly below, sorted; nothing when there is no such folder.

        :raises StorageError: when it cannot be listed.
        """
        with self._in_words("listed"):
            try:
                entries = [entry.rstrip("/") for entry in self.fs.ls(self.path, detail=False)]
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted(entry.rsplit("/", 1)[-1] for entry in entries if entry != self.path)

    def list_files(self) -> dict[str, int]:
        """Every file below, as relative path to size in bytes, sorted."""
        with self._in_words():
            return self._files()

    def existing(self, names: Iterable[str]) -> set[str]:
        """Return which of these files below exist, by relative path.

        In an object store this lists all files below, a thousand in each request; elsewhere it looks for each file.
        """
        wanted = set(names)
        if self._is_object_store:
            return wanted & self.list_files().keys() if wanted else wanted
        if self.is_local:
            return {name for name in wanted if os.path.exists(f"{self.path}/{name}")}
        return {name for name in wanted if (self / name).exists()}

    def _files(self) -> dict[str, int]:
        found: dict[str, dict[str, Any]] = self.fs.find(self.path, detail=True)
        prefix = len(self.path.rstrip("/")) + 1
        return {path[prefix:]: int(info["size"]) for path, info in sorted(found.items())}

    def open(self, mode: str = "rb") -> IO[Any]:
        stream: IO[Any] = self.fs.open(self.path, mode)
        return stream

    def read(self) -> bytes:
        with self._in_words():
            return self._read()

    def read_or_none(self) -> bytes | None:
        """The file's bytes, or None when there is no such file, without asking for it first.

        :raises StorageError: when there may be one and it cannot be read.
        """
        with self._in_words():
            try:
                return self._read()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def _read(self) -> bytes:
        data: bytes = self.fs.cat_file(self.path, **({} if self.is_local else _in_one_piece(self.fs)))
        return data

    def modified_at(self) -> datetime:
        """When the file was written last."""
        with self._in_words():
            time: datetime = self.fs.modified(self.path)
        return time.astimezone(timezone.utc)

    def sha256(self) -> str:
        with self._in_words():
            return self._sha256()

    def sha256_or_none(self) -> str | None:
        """The file's digest, or None when there is no such file, without asking for it first.

        :raises StorageError: when there may be one and it cannot be read.
        """
        with self._in_words():
            try:
                return self._sha256()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def _sha256(self) -> str:
        digest = hashlib.sha256()
        with self.open() as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def write(self, data: bytes) -> None:
        with self._made_parent(), self.open("wb") as stream:
            stream.write(data)

    def write_private(self, data: bytes) -> None:
        """Write a file that only its owner may read, in a folder that is only its owner's, where the storage knows owners."""
        if not self.is_local:
            self.write(data)  # whoever may read the bucket may read it
            return
        folder = Path(self.path).parent
        with self._made_parent():
            folder.chmod(0o700)
            with open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
                stream.write(data)

    def create(self, data: bytes) -> None:
        """Write a file that must not exist yet: FileExistsError when it does, whoever was first."""
        try:
            with self._made_parent(), self.open("xb") as stream:
                stream.write(data)
        except (ValueError, NotImplementedError) as error:
            raise InputError(
                f"{self.uri}: this storage cannot create a file exclusively ({error}); use another one", uri=self.uri
            ) from error

    def replace(self, data: bytes) -> None:
        """Write a file so that no reader ever sees half of it (object stores do so by themselves)."""
        if not self.is_local:
            return self.write(data)
        with self._made_parent():
            staged = f"{self.path}.{uuid.uuid4().hex}.tmp"
            try:
                with open(staged, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(staged, self.path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(staged)

    def remove(self) -> None:
        """Remove the file or tree; nothing happens when there is none.

        :raises StorageError: when it cannot be removed.
        """
        with self._in_words("removed"), contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.path, recursive=True)

    def remove_file(self) -> None:
        """Remove what can be a file only, without asking what it is; nothing happens when there is none.

        :raises StorageError: when it cannot be removed.
        """
        with self._in_words("removed"), contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.path)

    def remove_if_empty(self) -> None:
        """Remove a local folder that holds nothing; object stores have no empty folders."""
        if self.is_local:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)

    def copy_from(self, source: Location) -> None:
        """Have ``source``, a file or tree on the same file system, here as well; nothing may be here yet.

        Locally by hard links where the disk allows it, so only for files that nobody changes.
        """
        for name in source.list_files():  # not fs.cp: s3fs takes folders for keys and fails on them
            origin, target = (source / name, self / name) if name else (source, self)
            with target._made_parent():
                if self.is_local:
                    _link_or_copy(origin.path, Path(target.path))
                else:
                    self.fs.cp_file(origin.path, target.path)

    def upload(self, folder: Path) -> None:
        """Copy a local folder's files here."""
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            target = self / file.relative_to(folder).as_posix()
            with target._made_parent():
                self.fs.put_file(str(file), target.path)

    def download(self, folder: Path) -> None:
        """Bring the file, or all files below, into a local folder."""
        relative = self.list_files() if self.is_dir() else {"": 0}
        for name in relative:
            source = f"{self.path}/{name}" if name else self.path
            target = folder / (name or self.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            self.fs.get_file(source, str(target))

    @contextlib.contextmanager
    def _in_words(self, done: str = "read") -> Iterator[None]:
        """Turn the file system's refusals into one sentence. Those of remote ones are not all OSError: botocore's are not."""
        try:
            yield
        except Exception as error:
            if self.is_local and not isinstance(error, OSError):
                raise
            raise StorageError(f"{self.uri} cannot be {done}: {error}", uri=self.uri) from error

    @contextlib.contextmanager
    def _made_parent(self) -> Iterator[None]:
        """Make the folder above, and turn the file system's refusals into one sentence."""
        try:
            if not self._is_object_store:
                self.fs.makedirs(self.path.rsplit("/", 1)[0] or "/", exist_ok=True)
            yield
        except FileExistsError:
            if self.exists():
                raise
            raise StorageError(
                f"{self.uri} cannot be written: a part of the path is a file, not a folder", uri=self.uri
            ) from None
        except (PermissionError, NotADirectoryError, OSError) as error:
            raise StorageError(f"{self.uri} cannot be written: {error}", uri=self.uri) from error


def _in_one_piece(fs: fsspec.AbstractFileSystem) -> dict[str, int]:
    """How ``cat_file`` is told that a file is small: s3fs asks for its size first if it may fetch pieces side by side."""
    parameters = inspect.signature(getattr(fs, "_cat_file", fs.cat_file)).parameters
    return {"max_concurrency": 1} if "max_concurrency" in parameters else {}


def _link_or_copy(source: str, target: Path) -> None:
    """A hard link, or a copy across disks and where links are refused."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
