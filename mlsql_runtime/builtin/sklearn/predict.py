"""Predict with a model that follows scikit-learn's conventions: vectors in, vectors out; docs/builtin.md describes them."""

from collections.abc import Iterator
from typing import Any

import mlsql
import numpy as np
import python_fun
from estimators import near, takes_sparse
from scipy.sparse import issparse, vstack

CELLS = 1 << 22  # of a dense matrix at a time: 32 MiB
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")
method = mlsql.get_param(mlsql.fit_param, "method", None)

for name in mlsql.fit_param:
    if name != "method":
        raise ValueError(f"the built-in predict script has no parameter '{name}', only 'method'")
if method is not None and method not in METHODS:
    raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}{near(method, METHODS)}")


def predict(X: Any, model: Any) -> Any:
    """Return the predictions for X of shape (n, d), as numbers of shape (n,) or (n, k)."""
    called = method or ("predict" if hasattr(model, "predict") else "transform")
    if not hasattr(model, called):
        raise AttributeError(f"{type(model).__name__}, as it was trained, has no {called}")
    parts = [getattr(model, called)(rows) for rows in pieces(X, takes_sparse(model))]
    if issparse(parts[0]):
        return vstack(parts, format="csr")
    predicted = np.concatenate(parts)
    if predicted.dtype.kind not in "OUS":
        return predicted
    order = np.argsort(model.classes_)  # a vector holds numbers: a class with a name is its position in classes_
    return order[np.searchsorted(model.classes_, predicted, sorter=order)]


def pieces(X: Any, sparse: bool) -> Iterator[Any]:
    """Yield the rows as they are; or, for a model that takes no sparse matrix, as dense matrices of bounded size."""
    if sparse or not issparse(X):
        yield X
        return
    step = max(1, CELLS // X.shape[1])
    for start in range(0, X.shape[0], step):
        yield X[start : start + step].toarray()


python_fun.batch_udf(predict)
