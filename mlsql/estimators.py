"""Fit parameters as settings of an estimator."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, Protocol

from mlsql.parameters import fit_param


class Estimator(Protocol):
    """An object that is configured like scikit-learn's estimators."""

    def get_params(self) -> Mapping[str, Any]: ...

    def set_params(self, **params: Any) -> object: ...


def _typed(text: str, default: Any, name: str) -> Any:
    """Return a parameter as a value of the kind of the estimator's default: True, None, 3, 0.1, [1, 2], or text."""
    word = text.strip()
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    if word.lower() in ("none", "null"):
        return None
    if isinstance(default, bool):
        raise ValueError(f"fitParam.<i>.{name} is {text!r}; expected true or false")
    try:
        value = ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return text  # such as max_features="sqrt"; the estimator checks words itself
    if isinstance(default, (int, float)) and not isinstance(value, (int, float)):
        raise ValueError(f"fitParam.<i>.{name} is {text!r}; expected a number")
    return value  # 3 stays an int where the default is 1.0: to max_features, 3 are three and 1.0 is all


def sklearn_configure_params(clf: Estimator, params: Mapping[str, str] | None = None) -> None:
    """Set the fit parameters that the estimator has, converted to the types of its defaults; ignore others, such as batchSize.

    :param params: parameters to set instead of :data:`fit_param`.
    :raises ValueError: when the text of a parameter does not fit the type of its default.
    """
    given, defaults = fit_param if params is None else params, clf.get_params()
    known = {name: _typed(str(value), defaults[name], name) for name, value in given.items() if name in defaults}
    clf.set_params(**known)
