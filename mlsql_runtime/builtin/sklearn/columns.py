"""Tables with columns for estimators: numbers are imputed, text and booleans become a column for each of their values.

The predict script asks for :func:`has_columns` only, so libraries are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import mlsql
import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame, Series
    from sklearn.pipeline import Pipeline

COLUMNS, ESTIMATOR = "columns", "estimator"  # the steps of the pipeline
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")  # of a column of objects, in pandas' words
VALUES = ("string", "boolean", "empty")


def has_columns() -> bool:
    """Return whether the table's features are columns of their own, and not one column of vectors, arrays or numbers."""
    signature = mlsql.signature()
    if signature is None or len(signature.features) != 1:
        return signature is not None
    return signature.features[0].type in ("string", "boolean")


def make_pipeline(estimator: Any, X: DataFrame, sparse: bool) -> Pipeline:
    """Return the estimator behind a transformer of columns such as those of ``X``.

    :param sparse: whether the estimator takes SciPy's sparse matrices.
    :raises ValueError: for a column that is neither numbers nor text nor booleans.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    numbers = [name for name in X.columns if is_number(X[name])]
    others = [name for name in X.columns if name not in numbers]
    parts = [
        ("numbers", SimpleImputer(keep_empty_features=True), numbers),
        ("values", OneHotEncoder(handle_unknown="ignore"), others),
    ]
    columns = ColumnTransformer(parts, sparse_threshold=0.3 if sparse else 0.0)
    return Pipeline([(COLUMNS, columns), (ESTIMATOR, estimator)])


def is_number(column: Series) -> bool:
    """Return whether a column holds numbers; False for text and booleans.

    :raises ValueError: when it holds anything else.
    """
    from pandas.api.types import infer_dtype, is_bool_dtype, is_numeric_dtype

    if is_bool_dtype(column.dtype):
        return False
    if is_numeric_dtype(column.dtype):
        return True
    kind = infer_dtype(column, skipna=True)
    if kind not in (*NUMBERS, *VALUES):
        raise ValueError(
            f"column '{column.name}' holds values of type {kind}; the built-in algorithms take numbers, text and booleans: "
            "cast it in SQL, or write a training script"
        )
    return kind in NUMBERS


def to_plain(frame: DataFrame, numbers: Sequence[str]) -> DataFrame:
    """Return numbers as float64 with NaN, and other columns as objects with None, where a value is missing."""
    import pandas as pd

    return pd.DataFrame({name: _plain(frame[name], name in numbers) for name in frame.columns}, copy=False)


def _plain(column: Series, is_number: bool) -> Any:
    if is_number:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return column.astype(object).where(column.notna(), None)


def numbers_of(model: Pipeline) -> list[str]:
    """Return the columns of numbers that a pipeline of :func:`make_pipeline` was fitted on."""
    (_, _, numbers), *_ = model.named_steps[COLUMNS].transformers
    return list(numbers)


def read_columns(frame: DataFrame, numbers: Sequence[str]) -> tuple[DataFrame, Any]:
    """Return the feature columns, and the labels of shape (n,), which are None without a label column."""
    X = to_plain(frame[mlsql.feature_columns], numbers)
    return X, None if mlsql.label_column is None else _labels(frame[mlsql.label_column])


def _labels(column: Series) -> Any:
    from pandas.api.types import infer_dtype

    is_decimal = column.dtype == object and infer_dtype(column) == "decimal"
    return column.to_numpy(np.float64) if is_decimal else column.to_numpy()
