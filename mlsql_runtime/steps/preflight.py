"""Before any data move: what executors need to run a script."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from mlsql_runtime.errors import StorageError
from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.interpreter import inspect_interpreter
from mlsql_runtime.store import layout
from mlsql_runtime.store.location import Location

if TYPE_CHECKING:
    from mlsql_runtime.steps.job import Job


def preflight(job: Job, python: PythonEnv, staging: Location) -> Mapping[str, str]:
    """Check the interpreter, and on a cluster that executors see local storage; answers the interpreter's versions.

    :raises InterpreterError: naming the host that lacks the interpreter or has another version.
    :raises StorageError: when the model path is a local one that an executor does not see.
    """
    if job.is_local:
        return inspect_interpreter(python, socket.gethostname())
    marker = (staging / layout.CLAIM).path if staging.is_local else None
    tasks = max(job.spark.sparkContext.defaultParallelism, 2)

    def check(_: Iterable[int]) -> Iterator[Mapping[str, str]]:
        host = socket.gethostname()
        if marker is not None and not os.path.exists(marker):
            raise StorageError(
                f"{os.path.dirname(marker)}, below the model path, is a folder that the executor on {host} does not see; "
                "use shared storage, such as s3:// or a network folder mounted on every host"
            )
        yield inspect_interpreter(python, host)

    found: list[Mapping[str, str]] = job.spark.sparkContext.parallelize(range(tasks), tasks).mapPartitions(check).collect()
    return found[0]
