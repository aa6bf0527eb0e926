"""Prepare the process of a script, when it imports one of the helper packages. Standard library only, but for NumPy's seed."""

from __future__ import annotations

import functools
import importlib.util
import random

from mlsql_runtime.script.package_report import report_packages_at_exit
from mlsql_runtime.script.protocol import ScriptInput, current_input


@functools.cache
def prepare_process() -> ScriptInput | None:
    """Return the input of the job that this process runs for; None outside of a job.

    The first call seeds the generators of random numbers, if the job has a seed, and registers the report of imported packages.
    """
    job = current_input()
    if job is None:
        return None
    if job.seed is not None:
        random.seed(job.seed)
        if importlib.util.find_spec("numpy") is not None:
            import numpy as np

            np.random.seed(job.seed)
    if job.packages_file is not None:
        report_packages_at_exit(job.packages_file)
    return job
