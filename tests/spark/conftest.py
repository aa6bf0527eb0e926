"""A real SparkSession for the whole run."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from support.workbench import DATA, Run

from mlsql_runtime import engine
from mlsql_runtime.plan import SINGLE_ATTEMPT, Attempt, Plan, Secrets, Statement
from mlsql_runtime.result import RunResult

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    from pyspark.sql import SparkSession

    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    session = (
        SparkSession.builder.master("local[2]")
        .appName("tests")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.warehouse.dir", tmp_path_factory.mktemp("warehouse").as_uri())
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it says good-bye after pytest has closed the streams
    yield session
    session.stop()


@pytest.fixture(scope="session")
def run(spark: SparkSession) -> Run:
    """Run statements after loading the sample as ``data``; the result, errors included."""

    def run_statements(
        *statements: Statement,
        job_id: str = "job",
        secrets: Secrets = Secrets(),  # noqa: B008
        attempt: Attempt = SINGLE_ATTEMPT,
    ) -> RunResult:
        return engine.run(Plan(job_id=job_id, statements=(DATA, *statements), attempt=attempt), spark, secrets)

    return run_statements
