"""The table that ``--data`` names: its format, its options, and its files as Spark's readers choose them. No pyarrow needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from mlsql_runtime.errors import DataError, InputError, find_nearest
from mlsql_runtime.plan import FILE_FORMATS, parse_table_ref
from mlsql_runtime.storage.location import Location
from mlsql_runtime.storage.patterns import find_paths

# Formats that are read without Spark, and their reader options.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "json": (),
    "parquet": (),
    "csv": ("header", "sep", "delimiter", "quote", "escape", "nullValue", "inferSchema"),
    "libsvm": ("numFeatures",),
}
ENDINGS = {
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
    ".libsvm": "libsvm",
    ".svm": "libsvm",
}
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_MARK = b"\xef\xbb\xbf"
_OTHER_COMPRESSIONS = (".lz4", ".snappy", ".deflate", ".xz", ".zip")


@dataclass(frozen=True)
class DataFile:
    """One file of a table."""

    place: Location

    def read(self) -> bytes:
        """Return the content, decompressed as the ending of the name says, without the mark of UTF-8, which Spark ignores, too.

        :raises DataError: when the file is not compressed that way.
        """
        kind = COMPRESSIONS.get(PurePosixPath(self.place.name).suffix)
        raw = self.place.read()
        if kind is None or not raw:
            return raw.removeprefix(_MARK)
        import pyarrow as pa

        try:
            with pa.input_stream(pa.BufferReader(raw), compression=kind) as stream:
                content: bytes = stream.read()
        except OSError as error:
            raise DataError(f"{self.place.uri} is not compressed with {kind}, as its name says: {error}") from error
        return content.removeprefix(_MARK)


@dataclass(frozen=True)
class DataSource:
    """A table in storage. ``what`` is the option that names it; ``format`` is in lower case."""

    what: str
    format: str
    path: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_spark(self) -> bool:
        """Is true for a format that only Spark reads."""
        return self.format not in FORMATS

    def option(self, name: str, default: str) -> str:
        """Return an option. Spark ignores the case of its name."""
        return {key.lower(): value for key, value in self.options.items()}.get(name.lower(), default)

    def flag(self, name: str) -> bool:
        """Return an option that is true or false; false when it is not given.

        :raises InputError: for any other word.
        """
        text = self.option(name, "false").lower()
        if text not in ("true", "false"):
            raise InputError(f"the option {name} of {self.what} is {text!r}; expected true or false")
        return text == "true"

    def refuse(self, problem: str, **facts: Any) -> DataError:
        """Return the error for data that may be valid, but that would not be read exactly as Spark reads them."""
        return DataError(f"{self.what}: {problem}; add --spark to read it with a local Spark", path=self.path, **facts)


def parse_data_source(text: str, what: str, options: Mapping[str, str]) -> DataSource:
    """Parse format.`path`, or a path whose ending tells the format.

    :raises InputError: when neither tells a format.
    """
    if "`" in text:
        ref = parse_table_ref(text, what)
        return DataSource(what, ref.format.lower(), ref.path or "", options)
    name = PurePosixPath(text.rstrip("/"))
    if name.suffix in (*COMPRESSIONS, *_OTHER_COMPRESSIONS):
        name = name.with_suffix("")
    if name.suffix.lower() not in ENDINGS:
        raise InputError(
            f"{what} is {text}, whose ending is not one of {', '.join(ENDINGS)}; "
            f"name the format, such as {what} 'libsvm.`{text}`'",
            path=text,
        )
    return DataSource(what, ENDINGS[name.suffix.lower()], text, options)


def check_options(source: DataSource) -> None:
    """Raise unless all options are supported without Spark.

    :raises InputError: naming the first that is not.
    """
    known = FORMATS[source.format]
    for name in source.options:
        if name.lower() not in {each.lower() for each in known}:
            near = find_nearest(name, known)
            others = f"known without it are {', '.join(known)}" if known else f"{source.format} has none without it"
            hint = f"; {others}" if near is None else f", or did you mean '{near}'?"
            raise InputError(f"--option {name} of {source.format} needs Spark: add --spark{hint}", option=name)
    if source.format == "csv":
        _check_csv_options(source)
    width = source.option("numFeatures", "1")
    if source.format == "libsvm" and not (width.isdecimal() and int(width) > 0):
        raise InputError(f"--option numFeatures={width}: expected a number of at least 1", option="numFeatures")


def _check_csv_options(source: DataSource) -> None:
    for flag in ("header", "inferSchema"):
        source.flag(flag)
    separator, quote, escape = csv_dialect(source)
    if len(separator) != 1 or not separator.isascii():
        raise source.refuse(f"--option sep={separator} is not one ASCII character", option="sep")
    if len(quote) > 1 or not quote.isascii():
        raise source.refuse(f"--option quote={quote} is not one ASCII character", option="quote")
    if escape not in ("\\", quote):
        raise source.refuse(f"--option escape={escape} is neither a backslash nor the quote", option="escape")


def csv_dialect(source: DataSource) -> tuple[str, str, str]:
    """Return separator, quote and escape character; an empty quote means that fields are never quoted."""
    separator = source.option("sep", source.option("delimiter", ",")).replace("\\t", "\t").replace("\\\\", "\\")
    return separator, source.option("quote", '"'), source.option("escape", "\\")


def find_files(source: DataSource) -> list[DataFile]:
    """Return the files of a path, a folder or a pattern, in the order of their names.

    In a folder, Spark ignores names that begin with ``_`` or ``.``, and folders.

    :raises InputError: when there are none, or only Spark can read one.
    """
    found: list[DataFile] = []
    for place in _match_path(source):
        found += [DataFile(place)] if place.is_file() else _list_folder(source, place)
    if not found:
        raise InputError(f"{source.what}: {source.path} holds no files; check the path of the data", path=source.path)
    for file in found:
        if file.place.name.endswith(_OTHER_COMPRESSIONS):
            kinds = ", ".join(COMPRESSIONS.values())
            raise source.refuse(f"{file.place.uri} is compressed, and not with one of {kinds}")
    return found


def check_exists(source: DataSource) -> None:
    """Raise when the path holds nothing for Spark to read, as far as the format has files.

    :raises InputError: when there is nothing.
    """
    if source.path and source.format in FILE_FORMATS:
        _match_path(source)


def _match_path(source: DataSource) -> list[Location]:
    found = find_paths(Location.of(source.path))
    if not found:
        raise InputError(f"{source.what}: there is nothing at {source.path}; check the path of the data", path=source.path)
    return found


def _list_folder(source: DataSource, folder: Location) -> list[DataFile]:
    files = []
    for name in folder.list_names():
        if name[0] in "._":
            continue
        if (folder / name).is_file():
            files.append(DataFile(folder / name))
        elif "=" in name:
            raise source.refuse(f"{folder.uri} is partitioned ({name})")
    return files
