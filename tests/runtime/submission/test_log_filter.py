"""Which lines of spark-submit's output people see, and how loud."""

from __future__ import annotations

import logging

import pytest

from mlsql_runtime.submission.log_filter import choose_level


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("[mlsql] train: 71 rows as json files", logging.INFO),
        ("[fit 0] loss=0.5", logging.INFO),
        ("something that nobody foresaw", logging.INFO),
        ("Traceback (most recent call last):", logging.INFO),
        ("26/11/22 10:48:44 INFO SparkContext: Running Spark version 4.2.0", None),
        ("26/11/22 10:48:44 WARN TaskSetManager: Lost task 0.0 in stage 1.0", logging.WARNING),
        ("26/11/22 10:48:44 ERROR Executor: Exception in task 0.0", logging.ERROR),
        ("26/11/22 10:48:44 WARN NativeCodeLoader: Unable to load native-hadoop library", None),
        ("26/11/22 10:48:44 WARN Utils: Your hostname, x, resolves to a loopback address: 127.0.1.1", None),
        ("WARNING: Using incubator modules: jdk.incubator.vector", None),
        ("at org.apache.spark.sql.Dataset$.ofRows(Dataset.scala:112)", None),
        ("... 12 more", None),
        ("I0000 00:00:1795393083.500147    8497 port.cc:153] oneDNN custom operations are on.", None),
        ("Spark-Submit cmd: spark-submit --master local", None),
        ("", None),
    ],
)
def test_levels(line: str, level: int | None) -> None:
    assert choose_level(line) == level
