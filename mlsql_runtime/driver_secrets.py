"""Secrets in the driver: access to the files of a job in cluster mode, and what Spark's pages and event log hide."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlsql_runtime import codec
from mlsql_runtime.plan import ACCESS_PROPERTY, StorageAccess, is_secret_property

_REDACTION = "spark.redaction.regex"
_DEFAULT = "(?i)secret|password|token|access[.]?key"  # of Spark 4.2, whose own default PySpark does not tell


def take_access() -> StorageAccess:
    """Return the access to storage that spark-submit got in its properties file, and remove the property from the JVM.

    The driver needs it before it can read the job's other secrets, which are in that storage. Spark has not started yet, so
    neither executors nor the event log get the property.
    """
    from pyspark import SparkContext

    SparkContext._ensure_initialized()
    jvm = SparkContext._jvm
    assert jvm is not None
    text = jvm.java.lang.System.clearProperty(ACCESS_PROPERTY)
    return codec.loads(StorageAccess, text or "{}", ACCESS_PROPERTY)


def hide_secrets_in_spark(properties: Mapping[str, str]) -> dict[str, Any]:
    """Return Spark properties with the one by which Spark hides the values of all secrets among them and those of spark-submit.

    Spark's default does not know the keys of Azure and Google.
    """
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()
    given = {**dict(SparkConf().getAll()), **properties}
    pattern = given.get(_REDACTION, _DEFAULT)
    secret = (name for name, value in given.items() if is_secret_property(name, value))
    names = (name.removeprefix("spark.hadoop.") for name in secret)  # the pages also show Hadoop's own names
    shown = sorted(name for name in names if not _is_hidden(name, pattern))
    return {**properties, _REDACTION: "|".join((pattern, *map(re.escape, shown)))} if shown else dict(properties)


def _is_hidden(name: str, pattern: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:  # Java's patterns are not all Python's
        return False
