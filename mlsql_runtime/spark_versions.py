"""The releases of Spark that jobs run on, checked where a job starts."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import sys
from importlib import metadata
from pathlib import Path

from mlsql_runtime.errors import InputError

RELEASES = ("4.1", "4.2")
_CORE = re.compile(r"spark-core_[\d.]+-(\d+\.\d+[\w.]*)[-.]")  # of a jar such as spark-core_2.13-4.2.0.jar
_WANTED = f"use Spark {' or '.join(RELEASES)}"


def find_spark_home() -> str | None:
    """Return SPARK_HOME, or else the folder of the installed PySpark, without importing it."""
    spec = None if "SPARK_HOME" in os.environ else importlib.util.find_spec("pyspark")
    locations = spec.submodule_search_locations if spec is not None else None
    return locations[0] if locations else os.environ.get("SPARK_HOME")


def skip_pyspark_zip() -> None:
    """Import PySpark from the folder of SPARK_HOME in this process, if that is a package which Python can import.

    spark-submit puts the same modules on the path in a zip without bytecode, so each process would compile them again.
    """
    home = os.environ.get("SPARK_HOME", "")
    if os.path.dirname(home) in sys.path and os.path.isfile(os.path.join(home, "__init__.py")):
        archive = os.path.join(home, "python", "lib", "pyspark.zip")
        sys.path[:] = [entry for entry in sys.path if entry != archive]


def check_installation(*, is_in_process: bool = False) -> None:
    """Check the Spark that spark-submit starts, and the packages beside it, by file names and metadata: nothing is imported.

    :param is_in_process: whether this process starts Spark, with the PySpark that it imports, and not spark-submit, which takes
        the PySpark of SPARK_HOME if there is one.
    :raises InputError: when its release is not supported, or is not that of PySpark; or when the packages pyspark and
        pyspark-client, which write the same files, are of two releases.
    """
    home = find_spark_home()
    core = _find_core(home)
    if core is not None:
        check_release(core, f"in {home}")
    found = {}
    for package in ("pyspark", "pyspark-client"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    if len({_release(version) for version in found.values()}) > 1:
        pyspark, client = found.values()
        both = " ".join(f"'{package}=={_release(pyspark)}.*'" for package in found)
        raise InputError(
            f"pyspark {pyspark} and pyspark-client {client} overwrite each other's files; install one release of both: "
            f"pip install --force-reinstall --no-deps {both}"
        )
    own = () if home is None else (Path(home, "python", "lib", "pyspark.zip"), Path(home, "python", "pyspark"))
    has_own = any(path.exists() for path in own)
    if core is not None and "pyspark" in found and (is_in_process or not has_own):
        check_session(found["pyspark"], core)


def find_release() -> str | None:
    """Return the release of the Spark that spark-submit starts, by file names; None if it is not to be seen, or not supported."""
    core = _find_core(find_spark_home())
    release = None if core is None else _release(core)
    return release if release in RELEASES else None


def _find_core(home: str | None) -> str | None:
    """Return the version of the Spark in a folder."""
    jar = None if home is None else next(Path(home, "jars").glob("spark-core_*.jar"), None)
    match = None if jar is None else _CORE.match(jar.name)
    return None if match is None else match[1]


def check_release(version: str, where: str) -> None:
    """Check that a version of Spark belongs to a supported release.

    :param where: the place of that Spark, for the message.
    :raises InputError: otherwise.
    """
    release = _release(version)
    if release in RELEASES:
        return
    if _number(release) < _number(RELEASES[0]):
        raise InputError(f"Spark {version} {where} has no arrow_udf, by which registered functions run; {_WANTED}")
    raise InputError(f"Spark {version} {where} is newer than the releases that this provider knows; {_WANTED}")


def check_session(pyspark: str, spark: str) -> None:
    """Check that PySpark and the Spark that it has started are of one release.

    :raises InputError: otherwise.
    """
    if _release(pyspark) != _release(spark):
        raise InputError(
            f"PySpark {pyspark} runs with Spark {spark}, which is another release; correct SPARK_HOME or PYTHONPATH, or install "
            f"pyspark {_release(spark)}"
        )


def _release(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _number(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))
