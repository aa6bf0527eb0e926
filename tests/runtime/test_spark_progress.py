"""Progress lines of long Spark jobs."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

import pytest

from mlsql_runtime.spark_progress import report_progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_long_job_tells_how_far_it_is_and_then_is_silent(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    with report_progress(spark, "train: table rows", seconds=0.1):
        spark.sparkContext.parallelize(range(20), 20).foreach(lambda _: time.sleep(0.1))
    done = re.findall(r"^\[mlsql\] train: table rows: (\d+) of 20 tasks done$", capsys.readouterr().out, re.MULTILINE)
    assert done == sorted(done, key=int)
    assert len(set(done)) > 1
    assert not [thread for thread in threading.enumerate() if thread.name == "mlsql-progress"]
