"""The folder of the built-in scripts for scikit-learn, and fit parameters that name one of its classes."""

from __future__ import annotations

from pathlib import Path

import mlsql_runtime

FOLDER = Path(mlsql_runtime.__file__).parent / "builtin" / "sklearn"


def name_class(name: str, **params: str) -> dict[str, str]:
    """Return fit parameters that name a class, such as ``sklearn.svm.SVC``, and its hyperparameters."""
    module, _, cls = name.rpartition(".")
    return {"moduleName": module, "className": cls, **params}
