"""Models in a Spark worker use the cores of its task, as the tasks beside it count on the others."""

from __future__ import annotations

import os

from mlsql_runtime.script.thread_limits import thread_variables


def keep_to(cores: int) -> None:
    """Before a model is loaded: hold this process to so many cores, unless its environment names a number already."""
    for name, value in thread_variables(cores).items():
        os.environ.setdefault(name, value)
