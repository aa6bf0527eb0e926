"""Jobs without Spark: a driver that is a process of Python alone, for plans of which no statement needs a session.

It starts in a fraction of the time. All of this holds: driver and executors are this machine; Spark has no properties that may
matter to a function or to the packages that it finds, in the job or in a file; and the PySpark of this Python, by which the
function is called, is of the release of Spark.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from mlsql_runtime.plan import Plan
from mlsql_runtime.spark_versions import find_release
from mlsql_runtime.submission.runtime_zip import find_root, write_launcher
from mlsql_runtime.submission.spark_settings import DEFAULTS, VARIABLES, find_settings

# Properties of which Python notices nothing, by their beginning. Those of packages, of the zone and of Arrow are not among them.
_OF_THE_JVM = (
    *("spark.app.", "spark.driver.memory", "spark.executor.memory", "spark.executor.cores", "spark.executor.instances"),
    *(
        "spark.cores.",
        "spark.default.parallelism",
        "spark.dynamicAllocation.",
        "spark.memory.",
        "spark.network.",
        "spark.shuffle.",
    ),
    *("spark.eventLog.", "spark.history.", "spark.log", "spark.ui.", "spark.hadoop.", "spark.ssl.", "spark.serializer"),
    "spark.openlineage.",
    *(
        "spark.sql.adaptive.",
        "spark.sql.catalog",
        "spark.sql.files.",
        "spark.sql.shuffle.",
        "spark.sql.sources.",
        "spark.sql.warehouse.",
    ),
)


def can_do_without_spark(plan: Plan, conf: Mapping[str, str]) -> bool:
    """Return whether a plan on a local master needs no Spark.

    :param conf: the Spark properties of the job.
    """
    return (
        all(statement.outline.can_do_without_spark for statement in plan.statements)
        and all(name.startswith(_OF_THE_JVM) for name in conf)
        and find_settings(DEFAULTS) is None
        and find_settings(VARIABLES) is None
        and _has_pyspark()
    )


def build_plain_command(folder: Path, arguments: Sequence[str]) -> list[str]:
    """Write the launcher into ``folder``; return the command line of a driver without Spark.

    :param arguments: of the application.
    """
    return [sys.executable, str(write_launcher(folder, find_root())), *arguments, "--without-spark"]


def _has_pyspark() -> bool:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("pyspark").startswith(f"{find_release()}.")
    return False
