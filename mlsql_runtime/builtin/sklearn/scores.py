"""Score a model: with the estimator's own score, or with one of scikit-learn's scorers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from estimators import class_name, near, needs_labels
from sklearn.metrics import get_scorer, get_scorer_names


@dataclass(frozen=True)
class Score:
    """A score: ``of(X, y)`` is its value, ``name`` its name."""

    name: str
    greater_is_better: bool
    of: Callable[[Any, Any], float]


def make_score(params: Mapping[str, str], estimator: Any) -> Score | None:
    """Return the score that the parameter ``scorer`` names. A loss, such as ``mean_squared_error``, which scikit-learn has as
    ``neg_mean_squared_error`` only, is what that is the negative of. None for an estimator that has no score of its own.

    :raises ValueError: when scikit-learn has no such scorer.
    """
    name = params.get("scorer")
    if name is None:
        return own_score(estimator)
    known = get_scorer_names()
    if name in known:
        scorer = get_scorer(name)
        return Score(name, True, lambda X, y: float(scorer(estimator, X, y)))
    if f"neg_{name}" in known:
        negative = get_scorer(f"neg_{name}")
        return Score(name, False, lambda X, y: -float(negative(estimator, X, y)))
    losses = [scorer.removeprefix("neg_") for scorer in known]
    raise ValueError(f"scikit-learn has no scorer '{name}'{near(name, [*known, *losses])}")


def own_score(estimator: Any) -> Score | None:
    """Return accuracy for a classifier, R² for a regressor, and the own score of other estimators."""
    if not hasattr(estimator, "score"):
        return None
    name = f"{class_name(estimator)}.score"
    if needs_labels(estimator):
        return Score(name, True, lambda X, y: float(estimator.score(X, y)))
    return Score(name, True, lambda X, y: float(estimator.score(X)))
