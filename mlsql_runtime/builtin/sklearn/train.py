"""Train the estimator that the fit parameters ``moduleName`` and ``className`` name, and score it.

It learns from vectors, in batches if it can, or from columns, all at once. An ordinary training script: copy the folder to begin
one of your own. docs/how-to/builtin.md has its parameters.
"""

from inspect import signature
from typing import Any

import mlsql
import mlsql_model
import numpy as np
from columns import has_columns, make_pipeline, numbers_of, read_columns
from estimators import make_estimator, needs_labels, takes_sparse
from scores import Score, make_score

params = mlsql.fit_param


def count(name: str, default: int) -> int:
    """Return a parameter that has to be a whole number of at least 1."""
    text = str(mlsql.get_param(params, name, default))
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{name} is {text!r}; expected a whole number of at least 1")
    return int(text)


def is_incremental(estimator: Any) -> bool:
    """Return whether to train batch by batch: as the parameter ``incremental`` says, else if the estimator can."""
    able = hasattr(estimator, "partial_fit")
    asked = mlsql.get_param(params, "incremental", str(able)).strip().lower()
    if asked not in ("true", "false"):
        raise ValueError(f"incremental is {params['incremental']!r}; expected true or false")
    if asked == "true" and not able:
        raise ValueError(f"incremental is true, but {type(estimator).__name__} has no partial_fit")
    if asked == "false" and "epochs" in params:
        raise ValueError(f"epochs is given, but {type(estimator).__name__} is fitted at once; leave it out")
    return asked == "true"


def check_labels(estimator: Any, y: Any) -> None:
    """Raise an error if the estimator needs labels and the table has none."""
    if needs_labels(estimator) and y is None:
        raise ValueError(f"{type(estimator).__name__} needs labels, and the table has no column 'label'; name one as label")


def check_size(y: Any) -> None:
    """Raise an error unless labels are whole numbers below ``labelSize``."""
    last = count("labelSize", 2) - 1
    found = np.unique(y)
    unknown = found[~np.isin(found, np.arange(last + 1))]
    if len(unknown):
        shown = ", ".join(map(repr, unknown[:5].tolist()))
        raise ValueError(f"labelSize is {last + 1}, so labels are 0 to {last}, but the table has {shown}; leave labelSize out")


def all_labels(batch_size: int) -> Any:
    """Return the classes: 0 to ``labelSize`` - 1; without that parameter, those of the table, for which it may be read once."""
    if "labelSize" in params:
        return np.arange(count("labelSize", 2))
    known = mlsql.signature()
    if known and known.classes and "label" not in params:
        return np.array(known.classes)
    found = [np.unique(y) for _, y in mlsql.read_batches(batch_size) if y is not None]
    return np.unique(np.concatenate(found)) if found else np.arange(0)


def fit(estimator: Any, X: Any, y: Any) -> None:
    """Fit on all rows, with labels if the estimator needs them."""
    check_labels(estimator, y)
    estimator.fit(X, y) if needs_labels(estimator) else estimator.fit(X)


def learn_batches(estimator: Any, score: Score | None, X_test: Any, y_test: Any) -> None:
    """Fit batch by batch, one batch in memory, as many times over the table as ``epochs`` says."""
    batch_size, epochs = count("batchSize", 1000), count("epochs", 1)
    sparse = None if takes_sparse(estimator) else False
    classes = {"classes": all_labels(batch_size)} if "classes" in signature(estimator.partial_fit).parameters else {}
    for epoch in range(1, epochs + 1):
        for X, y in mlsql.read_batches(batch_size, sparse):
            check_labels(estimator, y)
            if "labelSize" in params:
                check_size(y)
            estimator.partial_fit(X, y, **classes) if needs_labels(estimator) else estimator.partial_fit(X)
        mlsql.progress(epoch, epochs)
        if score and len(X_test):
            mlsql.report(step=epoch, score=score.of(X_test, y_test))


def tell_score(score: Score | None, X_test: Any, y_test: Any) -> None:
    """Print the validation score, if there is one."""
    if score is None:
        print("it has no score of its own; one of scikit-learn's scorers can be named as scorer")
    elif len(X_test):
        print(f"{score.name} of {len(X_test)} rows of validation data:")
        print(f"mlsql_validation_score:{score.of(X_test, y_test)!r}")


def tell_classes(estimator: Any) -> None:
    """Print the number that a function returns for each class, if classes have names."""
    classes = np.asarray(getattr(estimator, "classes_", ()))
    if classes.dtype.kind in "OUS":
        print("classes: " + ", ".join(f"{place} is {name}" for place, name in enumerate(classes)))


def train_on_vectors(estimator: Any) -> None:
    """Train and score on a column of vectors, and save the estimator."""
    score = make_score(params, estimator)
    incremental = is_incremental(estimator)
    how = "batch by batch" if incremental else "on all data at once"
    print(f"{params['moduleName']}.{params['className']} learns {how}: {estimator}")
    X_test, y_test = mlsql.get_validate_data()
    if incremental:
        learn_batches(estimator, score, X_test, y_test)
    else:
        fit(estimator, *mlsql.all_data(sparse=None if takes_sparse(estimator) else False))
    tell_score(score, X_test, y_test)
    tell_classes(estimator)
    mlsql_model.sk_save_model(estimator)


def train_on_columns(estimator: Any) -> None:
    """Train and score on columns of numbers, text and booleans, and save the estimator behind what it makes of them."""
    given = next((name for name in ("epochs", "batchSize", "labelSize") if name in params), None)
    if given is not None or mlsql.get_param(params, "incremental", "false").strip().lower() == "true":
        raise ValueError(
            f"{given or 'incremental'} is for batches of vectors, and feature columns are learnt at once; leave it out"
        )
    frame = mlsql.all_frame()
    model = make_pipeline(estimator, frame[mlsql.feature_columns], takes_sparse(estimator))
    score, numbers = make_score(params, model), numbers_of(model)
    print(f"{params['moduleName']}.{params['className']} learns from the columns {', '.join(mlsql.feature_columns)}: {estimator}")
    fit(model, *read_columns(frame, numbers))
    tell_score(score, *read_columns(mlsql.get_validate_frame(), numbers))
    mlsql_model.sk_save_model(model)


def main() -> None:
    """Train, score, save."""
    estimator = make_estimator(params)
    if has_columns():
        train_on_columns(estimator)
    else:
        train_on_vectors(estimator)


main()
