"""What numeric libraries are told by the environment: which cores are theirs, and to be quiet. And what they say all the same.

They read these variables when they are imported, so they have to be set before: for a script by its parent, for a registered
function before it is loaded.
"""

from __future__ import annotations

import re

THREADS = (
    "OMP_NUM_THREADS",  # OpenMP: scikit-learn, LightGBM, XGBoost, PyTorch
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",  # joblib, so that n_jobs=-1 means the task's cores
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2"}  # errors only: no line per start about instructions and graphics cards

# TensorFlow 2.21 logs these before it has read its log level.
_NOTICE = re.compile(
    r"I\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+:\d+\] |WARNING: All log messages before absl::InitializeLog\(\) is called "
)


def thread_variables(cores: int) -> dict[str, str]:
    """Variables that hold libraries to so many cores; whoever sets them lets what is there already win."""
    return dict.fromkeys(THREADS, str(cores)) | QUIET


def is_startup_notice(line: str) -> bool:
    """Whether a line is one of those with which a library greets at every start, whatever its log level."""
    return _NOTICE.match(line) is not None
