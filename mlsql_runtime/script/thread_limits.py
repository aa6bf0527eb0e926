"""Environment variables that hold numeric libraries to some cores, and keep them quiet.

Libraries read them when they are imported: they are set for a script by its parent, and for a registered function before it is
loaded.
"""

from __future__ import annotations

import os

THREADS = (
    "OMP_NUM_THREADS",  # OpenMP: scikit-learn, LightGBM, XGBoost, PyTorch
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",  # joblib, so that n_jobs=-1 means the task's cores
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2"}  # errors only: no lines about instructions and graphics cards at every start


def thread_variables(cores: int) -> dict[str, str]:
    """Return variables that hold libraries to so many cores. Variables of the user take precedence."""
    return dict.fromkeys(THREADS, str(cores)) | QUIET


def limit_threads(cores: int) -> None:
    """Hold the libraries that this process imports from here on to so many cores, unless the environment does so already."""
    for name, value in thread_variables(cores).items():
        os.environ.setdefault(name, value)
