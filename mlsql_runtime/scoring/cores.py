"""Models in a Spark worker use the cores of its task, as the tasks beside it count on the others.

Spark itself sees to OpenMP and the BLAS libraries that follow it (it sets OMP_NUM_THREADS). A model may have been trained with
``n_jobs=-1``, and TensorFlow takes all cores unless told.
"""

from __future__ import annotations

import os

VARIABLES = ("LOKY_MAX_CPU_COUNT", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def keep_to(cores: int) -> None:
    """Before a model is loaded: hold this process to so many cores, unless its environment names a number already."""
    for name in VARIABLES:
        os.environ.setdefault(name, str(cores))
