"""Tell how far Spark is while a long step runs."""

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
    """Every ``seconds`` a line such as ``train: 3 of 12 tasks done``, for the stages that run then."""
    over = threading.Event()
    thread = threading.Thread(target=_tell, args=(spark, what, seconds, over), name="mlsql-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _tell(spark: SparkSession, what: str, seconds: float, over: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    with contextlib.suppress(Exception):  # a session that is being stopped has nothing to tell
        while not over.wait(seconds):
            for stage in tracker.getActiveStageIds():
                info = tracker.getStageInfo(stage)
                if info is not None:
                    log(f"{what}: {info.numCompletedTasks} of {info.numTasks} tasks done")
