"""The parameters, the data and the results of a training script. Import it in the script: ``import mlsql``.

It can be imported outside of a job, too, for an editor or a test; calls that need a job then raise an error that says how to run
the script in one.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from mlsql.data import (
    all_data,
    all_frame,
    feature_columns,
    get_validate_data,
    get_validate_frame,
    label_column,
    read_arrow,
    read_batches,
    read_data,
    read_frames,
    signature,
    sklearn_all_data,
    sklearn_batch_data,
    validation_rows,
)
from mlsql.estimators import sklearn_configure_params
from mlsql.parameters import fit_param, get_param, internal_system_param, kafka_param, params
from mlsql.parameters import systemParam as systemParam
from mlsql.pickles import dump as dump
from mlsql.pickles import load as load
from mlsql.reporting import progress, report

from mlsql_runtime.errors import did_you_mean
from mlsql_runtime.script.current_job import current_job

__all__ = [
    "all_data",
    "all_frame",
    "feature_columns",
    "fit_param",
    "get_param",
    "get_validate_data",
    "get_validate_frame",
    "internal_system_param",
    "kafka_param",
    "label_column",
    "params",
    "progress",
    "read_arrow",
    "read_batches",
    "read_data",
    "read_frames",
    "report",
    "resources",
    "seed",
    "signature",
    "sklearn_all_data",
    "sklearn_batch_data",
    "sklearn_configure_params",
]

_get_param = get_param  # MLSQL's name


if not TYPE_CHECKING:  # whose users are told of misspelt names

    def __getattr__(name: str) -> Any:
        """Return what MLSQL's module had under names that its manual does not mention."""
        if name == "_params":
            return params()
        if name == "validate_data":
            return list(validation_rows())
        if name == "raw_validate_data":
            return [pickle.dumps(row) for row in validation_rows()]
        raise AttributeError(f"module 'mlsql' has no attribute {name!r}{did_you_mean(name, __all__)}")


def seed() -> int | None:
    """Return the job's seed, or None.

    :mod:`random` and NumPy's global generator are seeded with it already. The script seeds others itself:
    ``torch.manual_seed(mlsql.seed())``, ``np.random.default_rng(mlsql.seed())``.
    """
    job = current_job()
    return job.seed if job else None


def resources() -> dict[str, tuple[str, ...]]:
    """Return what Spark has assigned to this task beside its cores: ``{"gpu": ("0",)}``; empty if nothing, and outside of a task.

    ``CUDA_VISIBLE_DEVICES`` names the same graphics cards, so that libraries number them from 0.
    """
    from mlsql_runtime.script.task_resources import assigned_resources

    job = current_job()
    return dict(job.resources) if job else assigned_resources()
