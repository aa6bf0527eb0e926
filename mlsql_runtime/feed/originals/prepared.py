"""A stored table whose files fit groups read: its list in the run's staging folder, and the files where they are."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mlsql_runtime import codec
from mlsql_runtime.errors import IntegrityError
from mlsql_runtime.feed.files.node_copy import application_dir, link_files, node_copy
from mlsql_runtime.feed.originals.table import FileList, OriginalFile, RowPart, TableOriginals
from mlsql_runtime.feed.table_facts import TableFacts, TableIdentity
from mlsql_runtime.storage.location import LOOKS, FileState, Location


@dataclass(frozen=True)
class OriginalsTable:
    """``place`` is the :class:`FileList`, and ``digest`` the SHA-256 of it.

    ``has_json``: scripts may ask for the table as JSON files.
    """

    place: Location
    digest: str
    part: RowPart
    facts: TableFacts
    has_json: bool

    @property
    def identity(self) -> TableIdentity:
        return TableIdentity(
            facts=self.facts,
            content=self.digest,
            uri=self.place.uri,
            has_lazy_json=self.has_json,
            part=self.part,
        )

    @property
    def offsets(self) -> Mapping[str, tuple[int, ...]]:
        return {}

    def describe(self) -> str:
        return "as parquet files, read where they are"

    def open(self, folder: Path, is_kept: bool, private: Path | None = None, alg_index: int = 0) -> TableOriginals:
        """Copy the list and, from a remote storage, the files to this node; check local files.

        :param folder: the folder that scripts know as ``tempDataLocalPath``; what the table needs is beside it.
        :raises IntegrityError: when a file is not there, or not the one that it was.
        """
        listed = self._read_list()
        list_file, copies = (folder.with_name(f"{folder.name}.{name}") for name in ("files.json", "parquet"))
        list_file.write_text(codec.dumps(listed), encoding="utf-8")
        if self._is_local(listed):
            # Another host may have a copy of its own, with other times; of what all hosts see, the driver compares the times.
            _check_files(self.place, listed, lambda file, state: state.size == file.size)
        else:
            with node_copy(
                self.place.uri, application_dir() or Path(tempfile.gettempdir()), lambda target: self._download(listed, target)
            ) as copy:
                link_files(copy, copies, is_kept=True)  # a later training removes the copy
        return TableOriginals(
            list_file=str(list_file),
            copies=str(copies),
            part=self.part,
            rows=self.facts.rows,
            schema=self.facts.schema,
            json_path=str(folder) if self.has_json else None,
            shared_as=self.place.uri if self.has_json and not is_kept else None,
        )

    def check_unchanged(self) -> None:
        """Check that no file was written again or removed since the list was made.

        :raises IntegrityError: with the name of one that was.
        """
        _check_files(self.place, self._read_list(), _is_same)

    def _read_list(self) -> FileList:
        data = self.place.read()
        if hashlib.sha256(data).hexdigest() != self.digest:
            raise IntegrityError(f"{self.place.uri} is not the list that this training has written; run the task again")
        return codec.loads(FileList, data, self.place.uri)

    def _is_local(self, listed: FileList) -> bool:
        return self.place.at(listed.files[0].uri).is_local

    def _download(self, listed: FileList, folder: Path) -> None:
        for file in listed.files:
            self.place.at(file.uri).download_file(folder / file.path)
        _check_files(self.place, listed, _is_same)


def write_list(place: Location, listed: FileList) -> str:
    """Write the list of a table's files, and return its SHA-256."""
    data = codec.dumps(listed).encode()
    place.replace(data)
    return hashlib.sha256(data).hexdigest()


def find_states(places: Sequence[Location]) -> list[FileState | None]:
    """Return the state of each file, several at a time; None for one that is not there."""
    with ThreadPoolExecutor(LOOKS) as pool:
        return list(pool.map(Location.find_state, places))


def _is_same(file: OriginalFile, state: FileState) -> bool:
    return (state.size, state.written) == (file.size, file.written)


def _check_files(place: Location, listed: FileList, is_same: Callable[[OriginalFile, FileState], bool]) -> None:
    states = find_states([place.at(file.uri) for file in listed.files])
    for file, state in zip(listed.files, states, strict=True):
        if state is None:
            raise IntegrityError(f"{file.uri} was removed while it was trained from; run the task again", path=file.uri)
        if not is_same(file, state):
            raise IntegrityError(
                f"{file.uri} was changed while it was trained from: it had {file.size} bytes, written {file.written}, "
                f"now {state.size} bytes, written {state.written}; run the task again",
                path=file.uri,
                expected=file.size,
                found=state.size,
            )
