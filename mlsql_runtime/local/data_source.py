"""What ``--data`` names: format, options, and the files behind a path, as Spark's readers choose them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mlsql_runtime.errors import DataError, InputError, did_you_mean
from mlsql_runtime.plan import parse_table_ref
from mlsql_runtime.storage.location import Location

# Format to its reader options that work without Spark.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "json": (),
    "parquet": (),
    "csv": ("header", "sep", "delimiter", "quote", "escape", "nullValue", "inferSchema"),
    "libsvm": ("numFeatures", "vectorType"),
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
_OTHER_COMPRESSIONS = (".lz4", ".snappy", ".deflate", ".xz", ".zip")
_GLOB = "*?[{"
_OF_FILES = (*FORMATS, "orc", "text", "avro", "xml", "binaryfile")


@dataclass(frozen=True)
class DataFile:
    """One file of a table."""

    place: Location

    def content(self) -> bytes:
        """All of it, decompressed by its ending.

        :raises DataError: when it is not compressed as its name says.
        """
        kind = COMPRESSIONS.get(PurePosixPath(self.place.name).suffix)
        raw = self.place.read()
        if kind is None or not raw:
            return raw
        import pyarrow as pa

        try:
            with pa.input_stream(pa.BufferReader(raw), compression=kind) as stream:
                content: bytes = stream.read()
        except OSError as error:
            raise DataError(f"{self.place.uri} is not compressed with {kind}, as its name says: {error}") from error
        return content


@dataclass(frozen=True)
class DataSource:
    """A table in storage. ``what`` is the option that named it; ``format`` is in lower case."""

    what: str
    format: str
    path: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_spark(self) -> bool:
        return self.format not in FORMATS

    def option(self, name: str, default: str) -> str:
        """An option by its name, which Spark reads in any case of letters."""
        return {key.lower(): value for key, value in self.options.items()}.get(name.lower(), default)

    def flag(self, name: str) -> bool:
        """An option that is true or false; false when it is not given.

        :raises InputError: for any other word.
        """
        text = self.option(name, "false").lower()
        if text not in ("true", "false"):
            raise InputError(f"the option {name} of {self.what} is {text!r}; expected true or false")
        return text == "true"


def parse_data_source(text: str, what: str, options: Mapping[str, str]) -> DataSource:
    """Read format.`path`, or a path whose ending tells the format.

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
            f"{what} is {text}, whose ending tells no format (known are {', '.join(ENDINGS)}); "
            f"say which it is, such as {what} 'libsvm.`{text}`'",
            path=text,
        )
    return DataSource(what, ENDINGS[name.suffix.lower()], text, options)


def check_options(source: DataSource) -> None:
    """Whether all options are ones that are read without Spark.

    :raises InputError: naming the first that is not.
    """
    known = FORMATS[source.format]
    for name in source.options:
        if name.lower() not in {each.lower() for each in known}:
            hint = did_you_mean(name, known) if known else f"; {source.format} has none"
            raise InputError(f"--option {name} of {source.format} needs Spark: add --spark{hint} without it", option=name)
    _check_values(source)


def _check_values(source: DataSource) -> None:
    if source.format == "csv":
        for flag in ("header", "inferSchema"):
            source.flag(flag)
        for name, shortest in (("quote", 0), ("escape", 0), ("sep", 1), ("delimiter", 1)):
            text = source.option(name, ",").replace("\\t", "\t").replace("\\\\", "\\")
            if len(text) < shortest or (shortest == 0 and len(text) > 1):
                raise InputError(f"--option {name}={text}: expected one character", option=name)
    if source.format == "libsvm":
        if not source.option("numFeatures", "1").isdecimal() or int(source.option("numFeatures", "1")) < 1:
            raise InputError(f"--option numFeatures={source.option('numFeatures', '')}: expected a number of at least 1")
        if source.option("vectorType", "sparse") not in ("sparse", "dense"):
            raise InputError(f"--option vectorType={source.option('vectorType', '')}: expected sparse or dense")


def find_files(source: DataSource) -> list[DataFile]:
    """The files of a path, a folder or a pattern, in the order of their names.

    Of a folder Spark passes over what begins with ``_`` or ``.``, and over folders in it.

    :raises InputError: when there is nothing, or only Spark can read it.
    """
    found: list[DataFile] = []
    for place in _matches(source):
        found += [DataFile(place)] if place.is_file() else _folder(place)
    if not found:
        raise InputError(f"{source.what}: {source.path} holds no files; check the path of the data", path=source.path)
    for file in found:
        if file.place.name.endswith(_OTHER_COMPRESSIONS):
            raise InputError(
                f"{source.what}: {file.place.uri} is compressed in a way that needs Spark: add --spark, or compress it "
                f"with one of {', '.join(COMPRESSIONS.values())}",
                path=file.place.uri,
            )
    return found


def check_there(source: DataSource) -> None:
    """Whether there is anything for Spark to read, as far as the format reads files.

    :raises InputError: when there is not.
    """
    if source.path and source.format in _OF_FILES and "{" not in source.path:
        _matches(source)


def _matches(source: DataSource) -> list[Location]:
    root = Location.of(source.path)
    if root.exists():
        return [root]
    if any(mark in source.path for mark in _GLOB):
        matches = [Location(root.fs, path.rstrip("/")) for path in sorted(root.fs.glob(root.path))]
        visible = [place for place in matches if place.name[0] not in "._"]
        if visible:
            return visible
    raise InputError(f"{source.what}: there is nothing at {source.path}; check the path of the data", path=source.path)


def _folder(place: Location) -> list[DataFile]:
    files = []
    for name in place.list_names():
        inner = place / name
        if name[0] in "._":
            continue
        if inner.is_file():
            files.append(DataFile(inner))
        elif "=" in name:
            raise InputError(
                f"{place.uri} is partitioned ({name}), which needs Spark: add --spark, or name one partition", path=place.uri
            )
    return files
