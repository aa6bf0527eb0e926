"""What happens first in a script's process, when it imports one of our packages. Standard library only, but for a seed."""

from __future__ import annotations

import functools
import importlib.util
import random

from mlsql_runtime.script.package_report import report_packages_at_exit
from mlsql_runtime.script.protocol import ScriptInput, current_input


@functools.cache
def prepare_process() -> ScriptInput | None:
    """The input of the job that this process runs for, or None outside of one. The first call seeds the generators of random
    numbers, if the job has a seed, and sees to it that the job learns which packages were imported.
    """
    job = current_input()
    if job is None:
        return None
    if (seed := seed_of(job)) is not None:
        random.seed(seed)
        if importlib.util.find_spec("numpy") is not None:
            import numpy as np

            np.random.seed(seed)
    if job.packages_file is not None:
        report_packages_at_exit(job.packages_file)
    return job


def seed_of(job: ScriptInput) -> int | None:
    """``systemParam.seed``, or None."""
    seed = job.params.get("systemParam", {}).get("seed")
    return None if seed is None else int(seed)
