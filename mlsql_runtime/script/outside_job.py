"""How to run a script in a job: messages of the helper packages when somebody starts one directly. Standard library only."""

from __future__ import annotations

import os
import shlex
import sys


def script_name(default: str) -> str:
    """Return the path of the script as it was started, or ``default`` in a notebook or an interpreter."""
    name = sys.argv[0] if sys.argv else ""
    return name if name.endswith(".py") and os.path.basename(name) != "ipykernel_launcher.py" else default


def job_required_error(lacks: str) -> RuntimeError:
    """Return the error of a call that needs a training job.

    :param lacks: what the call lacks, as in ``mlsql has no data``.
    """
    script = script_name("train.py")
    return RuntimeError(
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
