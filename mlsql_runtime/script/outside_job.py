"""What the helper packages say to somebody who runs a script by itself: how to run it in a job. Standard library only."""

from __future__ import annotations

import os
import shlex
import sys


def script_name(default: str) -> str:
    """The script that runs, as it was called, or ``default`` in a notebook or an interpreter."""
    name = sys.argv[0] if sys.argv else ""
    return name if name.endswith(".py") and os.path.basename(name) != "ipykernel_launcher.py" else default


def job_required_error(lacks: str) -> RuntimeError:
    """The error of a call that needs a training job.

    :param lacks: what there is none of, as in ``mlsql has no data``.
    """
    script = script_name("train.py")
    return RuntimeError(
        f"{script} runs outside of a job, so {lacks}; run it in one:\n"
        f"    mlsql fit {shlex.quote(script)} --data 'libsvm.`sample_libsvm_data.txt`' --fit-param batchSize=1000\n"
        f"or in a DAG, with MLSQLTrainOperator(python_script_path={script!r}, ...)"
    )


def registration_hint(call: str) -> str:
    """What a predict script says that registers nothing.

    :param call: by which it tried, ``python_fun.udf``.
    """
    script = script_name("predict.py")
    return (
        f"{call}: nothing is registered, because {script} runs outside of a registration; register it in a script "
        "that you run with mlsql run:\n"
        f'    register PythonAlg.`/path/of/the/model` as predict options pythonScriptPath="{script}";\n'
        f"or in a DAG, with MLSQLRegisterOperator(python_script_path={script!r}, ...)"
    )
