"""The job of a script, as the helper packages in its process need it; outside of a job, how to run the script in one.

Standard library only, but for NumPy's seed.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import random
import shlex
import sys

from mlsql_runtime.script.package_report import report_packages_at_exit
from mlsql_runtime.script.protocol import ScriptInput, read_input
from mlsql_runtime.script.repeated_warnings import show_once_from_here


@functools.cache
def current_job() -> ScriptInput | None:
    """Return the input of the job that this process runs for; None outside of a job.

    The first call seeds the generators of random numbers, if the job has a seed, registers the report of imported packages, and
    keeps warnings from being repeated.
    """
    job = read_input()
    if job is None:
        return None
    if job.seed is not None:
        random.seed(job.seed)
        if importlib.util.find_spec("numpy") is not None:
            import numpy as np

            np.random.seed(job.seed)
    show_once_from_here()
    if job.packages_file is not None:
        report_packages_at_exit(job.packages_file)
    return job


def script_name(default: str) -> str:
    """Return the path of the script as it was started, or ``default`` in a notebook or an interpreter."""
    name = sys.argv[0] if sys.argv else ""
    return name if name.endswith(".py") and os.path.basename(name) != "ipykernel_launcher.py" else default


def require_job(lacks: str) -> ScriptInput:
    """Return the input of the job that this process runs for.

    :param lacks: what the caller lacks outside of a job, as in ``mlsql has no data``.
    :raises RuntimeError: outside of a job, with how to run the script in one.
    """
    job = current_job()
    if job is not None:
        return job
    script = script_name("train.py")
    raise RuntimeError(
        f"{script} runs outside of a job, so {lacks}; run it in one:\n"
        f"    mlsql fit {shlex.quote(script)} --data 'libsvm.`sample_libsvm_data.txt`' --fit-param batchSize=1000\n"
        f"or in a DAG, with MLSQLTrainOperator(python_script_path={script!r}, ...)"
    )


def registration_hint(call: str) -> str:
    """Return the message of a predict script that runs outside of a registration.

    :param call: the call that would register its function: ``python_fun.udf``.
    """
    script = script_name("predict.py")
    return (
        f"{call}: nothing is registered, because {script} runs outside of a registration; register it in a script "
        "that you run with mlsql run:\n"
        f'    register PythonAlg.`/path/of/the/model` as predict options pythonScriptPath="{script}";\n'
        f"or in a DAG, with MLSQLRegisterOperator(python_script_path={script!r}, ...)"
    )
