"""Predict with a model that follows scikit-learn's conventions, from vectors or from columns.

docs/how-to/builtin.md describes it.
A function of vectors returns vectors unless ``output`` is given; a function of columns returns labels. It imports scikit-learn
when it is called: a registration does not need it for the function itself.
"""

from collections.abc import Iterator
from typing import Any

import mlsql
import numpy as np
import python_fun
from columns import has_columns, numbers_of, to_plain
from scipy.sparse import issparse, vstack

CELLS = 1 << 22  # of a dense matrix at a time: 32 MiB
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")
OUTPUTS = ("label", "probability", "both")


def choose(name: str, allowed: tuple[str, ...]) -> str | None:
    """Return a parameter that is one of a few words, or None."""
    given = mlsql.get_param(mlsql.fit_param, name, None)
    if given is not None and given not in allowed:
        from estimators import near

        raise ValueError(f"{name} is {given!r}; expected one of {', '.join(allowed)}{near(given, allowed)}")
    return given


for name in mlsql.fit_param:
    if name not in ("method", "output"):
        raise ValueError(f"the built-in predict script has no parameter '{name}', only 'method' and 'output'")
columns = has_columns()
method, output = choose("method", METHODS), choose("output", OUTPUTS)
if method and output:
    raise ValueError(f"both method {method!r} and output {output!r} are given; give one of them")


def call(model: Any, called: str, X: Any) -> Any:
    """Return what a method of the model returns for X of shape (n, d): an array or a sparse matrix of n rows."""
    from estimators import class_name, takes_sparse

    if not hasattr(model, called):
        has = ", ".join(each for each in METHODS if hasattr(model, each))
        raise AttributeError(f"{class_name(model)}, as it was trained, has no {called}, only {has}; name one of these as method")
    parts = [getattr(model, called)(rows) for rows in pieces(X, takes_sparse(model))]
    return vstack(parts, format="csr") if issparse(parts[0]) else np.concatenate(parts)


def pieces(X: Any, sparse: bool) -> Iterator[Any]:
    """Yield the rows as they are; or, for a model that takes no sparse matrix, as dense matrices of bounded size."""
    if sparse or not issparse(X):
        yield X
        return
    step = max(1, CELLS // X.shape[1])
    for start in range(0, X.shape[0], step):
        yield X[start : start + step].toarray()


def predict_vectors(X: Any, model: Any) -> Any:
    """Return the predictions for X of shape (n, d), as numbers of shape (n,) or (n, k)."""
    predicted = call(model, method or ("predict" if hasattr(model, "predict") else "transform"), X)
    if issparse(predicted) or predicted.dtype.kind not in "OUS":
        return predicted
    return places(model, predicted)  # a vector holds numbers


def predict_typed(X: Any, model: Any) -> Any:
    """Return labels, the probabilities of all classes, or both: the label and its probability."""
    if columns:
        X = to_plain(X, numbers_of(model))
    if method == "predict":
        return call(model, method, X)
    if method:
        answer = call(model, method, X)
        answer = answer.toarray() if issparse(answer) else answer
        return answer.reshape(len(answer), -1)
    if output == "probability":
        return call(model, "predict_proba", X)
    labels = call(model, "predict", X)
    if output != "both":
        return labels
    chances = call(model, "predict_proba", X)
    return {"label": labels, "probability": chances[np.arange(len(labels)), places(model, labels)]}


def places(model: Any, labels: Any) -> Any:
    """Return the position of each label in ``classes_``."""
    order = np.argsort(model.classes_)
    return order[np.searchsorted(model.classes_, labels, sorter=order)]


def label_type() -> str:
    """Return the type in SQL of what ``predict`` returns."""
    signature = mlsql.signature()
    label = signature.label.type if signature and signature.label else "double"
    return label if label in ("string", "boolean") else "double"


if columns or output:
    label = label_type()
    kinds = {"label": label, "probability": "array<double>", "both": f"struct<label: {label}, probability: double>"}
    methods = {method: "double" if method == "predict" else "array<double>"}
    returns = methods[method] if method else kinds[output or "label"]
    python_fun.batch_udf(predict_typed, input="frame" if columns else "matrix", returns=returns)
else:
    python_fun.batch_udf(predict_vectors)
