"""The gates of a registration: they decide whether a model is good enough for a function's name, and say why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlsql_runtime.plan import Register
from mlsql_runtime.store.function_records import PointerMove


@dataclass(frozen=True)
class Candidate:
    """The version and fit group to register, and the job that registers them."""

    version: int
    alg_index: int
    score: float | None
    greater_is_better: bool
    job_id: str

    def gain_over(self, score: float) -> float | None:
        """Return by how much this model is better than ``score``; None when it has no score itself."""
        return None if self.score is None else (self.score - score) * (1 if self.greater_is_better else -1)

    def __str__(self) -> str:
        return f"version {self.version}, group {self.alg_index} has score {self.score}"


@dataclass(frozen=True)
class GateResult:
    """``reason`` is one sentence; None when the model passed because there was no gate.

    ``threshold`` is the score that the gates asked for; None if they asked for none.
    """

    has_passed: bool
    reason: str | None = None
    threshold: float | None = None


def check_gates(statement: Register, candidate: Candidate, history: Sequence[PointerMove]) -> GateResult:
    """Check ``min_score``, then ``only_if_better``.

    :param history: all registrations of the name, the oldest first.
    """
    rival = _find_rival(history, candidate)
    results = [_check_score(statement.min_score, candidate), _check_gain(statement, candidate, rival)]
    refusal = next((result for result in results if not result.has_passed), None)
    reasons = "; ".join(result.reason for result in results if result.reason is not None)
    return replace(refusal or GateResult(True, reasons or None), threshold=_find_threshold(statement, candidate, rival))


def _find_threshold(statement: Register, candidate: Candidate, rival: PointerMove | None) -> float | None:
    """Return the score that both gates asked for."""
    sign = 1 if candidate.greater_is_better else -1
    bounds = [] if statement.min_score is None else [statement.min_score]
    if statement.only_if_better is not None and rival is not None and rival.score is not None:
        bounds.append(rival.score + sign * statement.only_if_better)
    return max(bounds, key=lambda bound: sign * bound, default=None)


def _find_rival(history: Sequence[PointerMove], candidate: Candidate) -> PointerMove | None:
    """Return the current model, or the one before those that an earlier attempt of this job has registered."""
    own = (candidate.job_id, candidate.version, candidate.alg_index)
    return next((move for move in reversed(history) if (move.job_id, move.version, move.alg_index) != own), None)


def _check_score(minimum: float | None, candidate: Candidate) -> GateResult:
    """Check ``min_score``. A model without a score does not pass."""
    if minimum is None:
        return GateResult(True)
    bound = f"{'at least' if candidate.greater_is_better else 'at most'} {minimum}"
    gain = candidate.gain_over(minimum)
    if gain is None or gain < 0:
        return GateResult(False, f"{candidate}; expected {bound}")
    return GateResult(True, f"score {candidate.score} is {bound}")


def _check_gain(statement: Register, candidate: Candidate, rival: PointerMove | None) -> GateResult:
    """Check ``only_if_better``. A model without a score passes when there is no score to compare with."""
    margin = statement.only_if_better
    if margin is None:
        return GateResult(True)
    if rival is None:
        return GateResult(True, f"{statement.function} was not registered before")
    if rival.score is None:
        return GateResult(True, f"the current version {rival.version} has no score")
    by = f" by at least {margin}" if margin else ""
    if _is_better(candidate, rival.score, margin):
        return GateResult(True, f"score {candidate.score} is better{by} than {rival.score} of version {rival.version}")
    return GateResult(False, f"{candidate}; expected better{by} than {rival.score} of the current version {rival.version}")


def _is_better(candidate: Candidate, score: float, margin: float) -> bool:
    """Return whether the candidate is better by a margin than a score; sums in another order are no improvement."""
    gain = candidate.gain_over(score)
    if gain is None or candidate.score is None:
        return False
    if margin:
        return gain >= margin or math.isclose(gain, margin, rel_tol=1e-9)  # 0.3 - 0.2 is less than 0.1
    return gain > 0 and not math.isclose(candidate.score, score, rel_tol=1e-12)
