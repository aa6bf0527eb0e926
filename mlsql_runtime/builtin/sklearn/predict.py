"""Predict with a model of scikit-learn's kind: vectors in, vectors out. docs/builtin.md says what they mean."""

from typing import Any

import mlsql
import numpy as np
import python_fun
from estimators import near, takes_sparse
from scipy.sparse import issparse

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")
method = mlsql.get_param(mlsql.fit_param, "method", None)

for name in mlsql.fit_param:
    if name != "method":
        raise ValueError(f"the built-in predict script has no parameter '{name}', only 'method'")
if method is not None and method not in METHODS:
    raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}{near(method, METHODS)}")


def predict(X: Any, model: Any) -> Any:
    """What the model answers to (n, d), as numbers of shape (n,) or (n, k)."""
    called = method or ("predict" if hasattr(model, "predict") else "transform")
    if not hasattr(model, called):
        raise AttributeError(f"{type(model).__name__}, as it was trained, has no {called}")
    answer = getattr(model, called)(X.toarray() if issparse(X) and not takes_sparse(model) else X)
    if issparse(answer):
        return answer.tocsr()
    answer = np.asarray(answer)
    if answer.dtype.kind not in "OUS":
        return answer
    order = np.argsort(model.classes_)  # a vector holds numbers: a class with a name is answered by its place in classes_
    return order[np.searchsorted(model.classes_, answer, sorter=order)]


python_fun.batch_udf(predict)
