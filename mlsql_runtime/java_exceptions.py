"""Java's exceptions in the texts that Spark passes on: the innermost one, the code that raised it, and whose mistake it is.

It is for exceptions without one of Spark's own conditions, of which :mod:`mlsql_runtime.spark_errors` knows more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mlsql_runtime.errors import DataError, InputError, MLSQLError, StorageError

# Mistakes that their text tells, wherever they are raised, with what to do.
_BY_TEXT: tuple[tuple[str, type[MLSQLError], str], ...] = (
    (
        r"\.(AccessControl|AccessDenied)Exception: |Mkdirs failed",
        StorageError,
        "; give the user of the job access, or another path",
    ),
    (r"\.(ParentNotDirectory|PathIsNotDirectory|InvalidPath)Exception: ", InputError, "; write another path"),
    (r"\.ClassNotFoundException: ", InputError, ": Spark lacks this class; add its jar by spark.jars or spark.jars.packages"),
    (r"No suitable driver", InputError, "; add the jar of the database's driver by spark.jars, and name its class as driver"),
    (r"\bSQL(SyntaxError|FeatureNotSupported)Exception: ", InputError, ""),  # of a database, through JDBC
    (r"\bSQL(Data|IntegrityConstraintViolation)Exception: ", DataError, ""),
    (r"\.UnsupportedFileSystemException: ", InputError, "; write another scheme, or add the jar for it by spark.jars.packages"),
    (r"\.StackOverflowError", InputError, "the query is nested too deep, or too long, for Spark; make several queries of it"),
    (r"Illegal schema for |could not open a JDBC connection\. Check the URL", InputError, ""),
    (r"Subprocess exited with status ", InputError, "; it is the command of the query's transform"),
    (r"\.TextParsingException: ", DataError, "; if the file is right, raise maxColumns or maxCharsPerColumn"),
    (r"UnsupportedOperationException: empty collection", DataError, ": there are no rows"),
    (r"is not a Parquet file|is not an ORC|Malformed |[Nn]ot an Avro data file|[Nn]ot in GZIP format", DataError, ""),
    (r"[Uu]nexpected end of (ZLIB )?input stream|Unknown frame descriptor", DataError, ""),
    (r"\.(AvroType|JsonParse|MalformedInput|SAXParse|SchemaColumnConvertNotSupported|Zip)Exception: ", DataError, ""),
)
# Exceptions about arguments are mistakes if the code that raises them works on data. Damaged messages ("Too large frame") and
# full disks ("Self-suppression not permitted") have the same classes.
_ABOUT_ARGUMENTS = re.compile(
    r"\.(Spark)?(\w*Format\w*|Analysis|DateTime|Arithmetic|IllegalArgument|PatternSyntax|URISyntax|UnsupportedOperation"
    r"|\w*IndexOutOfBounds)"
    r"Exception(: |$)"
)
_ON_DATA = re.compile(
    r"org\.apache\.(spark\.(sql\.(catalyst|execution\.datasources)|unsafe\.types|ml|mllib)|parquet|orc|avro"
    r"|hadoop\.(fs\.(Path|Glob)|conf))"
    r"|com\.(univocity|fasterxml)|\w+\.(apache\.hadoop\.shaded\.)?com\.google\.re2j"
)
# In the code that computes expressions and reads options, every exception is a mistake but those of machines and of Spark itself.
_OF_QUERIES = re.compile(r"org\.apache\.spark\.sql\.catalyst\.(?!catalog)")
_OF_MACHINES = re.compile(
    r"\.(IO|EOF|\w*Interrupt\w*|\w*Timeout|\w*Killed|Closed\w*|\w*Socket|\w*Connect\w*|UnknownHost|FileNotFound|NoSuchFile"
    r"|NullPointer|ClassCast|IllegalState|ConcurrentModification|Execution)Exception\b"
    r"|Self-suppression not permitted|^[\w.]+Error\b"
)
_CLASS = re.compile(r"^[\w.$]+(?:Exception: |Error: |Exception$|Error$)")
_CAUSE = re.compile(r"^Caused by: (.+)$", re.MULTILINE)
_IN_TASK = re.compile(r"Lost task [\d.]+ in stage [\d.]+ \(TID \d+\) \([^)]*\): (.+)")
_FRAME = re.compile(r"^\s+at (?:[\w.@-]*/)*([\w.$<>]+)\(", re.MULTILINE)
_NEXT = re.compile(r"^(Caused by: |Driver stacktrace:)", re.MULTILINE)
_OF_LANGUAGES = re.compile(r"(java|jdk|sun|scala)\.|org\.apache\.spark\.(sql\.)?errors\.")  # which others call
Place = Literal["query", "file", "writer"]
# By frames, of which the innermost counts: what Spark was doing.
_PLACES: tuple[tuple[re.Pattern[str], Place], ...] = (
    (
        re.compile(
            r"FileFormatWriter|Output(Writer|Format)|DataWriter|WriterSettings|prepareWrite|JdbcUtils\$\.\$?(anonfun\$)?(save|make\w*Setter)"
        ),
        "writer",
    ),
    (re.compile(r"FileScanRDD|JDBCRDD|DataSourceRDD|buildReader|MLUtils\$\.parseLibSVM"), "file"),
    (re.compile(r"\.catalyst\.expressions\."), "query"),
)


@dataclass(frozen=True)
class JavaException:
    """A Java exception: class and message as Java prints them, and the methods that were running, innermost first."""

    text: str
    frames: tuple[str, ...]

    @property
    def message(self) -> str:
        """The message alone."""
        return _CLASS.sub("", self.text).removeprefix("java.lang.ArrayIndexOutOfBoundsException - ")

    @property
    def origin(self) -> str:
        """The innermost method that is not one of Java, Scala or Spark's helpers for errors; empty if it is not known."""
        return next((frame for frame in self.frames if not _OF_LANGUAGES.match(frame)), "")

    @property
    def place(self) -> Place | None:
        """What Spark was doing: computing a query, reading a source, or writing; None if it is not known."""
        found = (place for frame in self.frames for pattern, place in _PLACES if pattern.search(frame))
        return next(found, None)

    def find_known(self) -> tuple[type[MLSQLError], str] | None:
        """Return whose mistake it is, and what to say, if the text tells it."""
        for pattern, kind, advice in _BY_TEXT:
            if re.search(pattern, self.text):
                return kind, f"{self.message}{advice}"
        return None

    @property
    def is_mistake(self) -> bool:
        """Whether the code that raised it works on data, options or a query, so that another try would raise it again."""
        if _OF_MACHINES.search(self.text):
            return False
        is_about_data = not self.origin or _ON_DATA.match(self.origin)
        return bool((_ABOUT_ARGUMENTS.search(self.text) and is_about_data) or _OF_QUERIES.match(self.origin))


def find_cause(text: str) -> JavaException | None:
    """Return the innermost Java exception in a text, of the CSV parser the one that is not a cause; None if there is none."""
    found = list(_find_all(text))
    of_parser = (each for each in found if ".TextParsingException: " in each.text)
    return next(of_parser, found[-1] if found else None)


def _find_all(text: str) -> Iterator[JavaException]:
    """Yield the exceptions in a text, outer ones first."""
    first = re.search(r"^(?!An error occurred while calling)(?:: )?(\S.*)$", text, re.MULTILINE)
    matches = [*([first] if first else []), *_IN_TASK.finditer(text), *_CAUSE.finditer(text)]
    for match in sorted(matches, key=lambda each: each.start(1)):
        if _CLASS.match(match[1]):
            end = _NEXT.search(text, match.end())
            frames = _FRAME.findall(text, match.end(), end.start() if end else len(text))
            yield JavaException(match[1].strip(), tuple(frames))
