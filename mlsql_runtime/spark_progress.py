"""Report the progress of Spark's stages while a long step runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlsql_runtime.events import log

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SECONDS = 15.0


@contextlib.contextmanager
def report_progress(spark: SparkSession, what: str, seconds: float = SECONDS) -> Iterator[None]:
    """Every ``seconds``, log a line such as ``train: 3 of 12 tasks done`` for each stage that runs at that time."""
    is_over = threading.Event()
    thread = threading.Thread(target=_log_stages, args=(spark, what, seconds, is_over), name="mlsql-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _log_stages(spark: SparkSession, what: str, seconds: float, is_over: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    with contextlib.suppress(Exception):  # the session is being stopped
        while not is_over.wait(seconds):
            for stage in tracker.getActiveStageIds():
                info = tracker.getStageInfo(stage)
                if info is not None:
                    log(f"{what}: {info.numCompletedTasks} of {info.numTasks} tasks done")
