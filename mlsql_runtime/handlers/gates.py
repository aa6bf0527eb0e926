"""The gates of a registration: whether a model is good enough for a name, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlsql_runtime.plan import Register
from mlsql_runtime.store.function_records import PointerMove


@dataclass(frozen=True)
class Candidate:
    """The version and fit group that ask for the name, and the job that asks."""

    version: int
    alg_index: int
    score: float | None
    greater_is_better: bool
    job_id: str

    def __str__(self) -> str:
        return f"version {self.version}, group {self.alg_index} has score {self.score}"

    @property
    def sign(self) -> int:
        return 1 if self.greater_is_better else -1


@dataclass(frozen=True)
class Verdict:
    """``reason`` is one sentence; None when the model passed because there was no gate."""

    passed: bool
    reason: str | None


def judge(statement: Register, candidate: Candidate, history: Sequence[PointerMove]) -> Verdict:
    """Both gates, the absolute one first.

    :param history: what the name meant so far; empty when it was never registered.
    """
    asked = [_judge_score(statement.min_score, candidate), _judge_gain(statement, candidate, _rival(history, candidate))]
    verdicts = [verdict for verdict in asked if verdict is not None]
    refused = next((verdict for verdict in verdicts if not verdict.passed), None)
    if refused is not None or not verdicts:
        return refused or Verdict(True, None)
    return Verdict(True, "; ".join(str(verdict.reason) for verdict in verdicts))


def _rival(history: Sequence[PointerMove], candidate: Candidate) -> PointerMove | None:
    """What the candidate is compared with: what is current, but not what this very job registered before it was retried."""
    before = list(history)
    asks = (candidate.job_id, candidate.version, candidate.alg_index)
    while before and (before[-1].job_id, before[-1].version, before[-1].alg_index) == asks:
        before.pop()
    return before[-1] if before else None


def _judge_score(minimum: float | None, candidate: Candidate) -> Verdict | None:
    """``min_score``. A model without a score does not pass."""
    if minimum is None:
        return None
    bound = f"{'at least' if candidate.greater_is_better else 'at most'} {minimum}"
    if candidate.score is None or candidate.sign * (candidate.score - minimum) < 0:
        return Verdict(False, f"{candidate}, and {bound} is asked for")
    return Verdict(True, f"score {candidate.score} is {bound}")


def _judge_gain(statement: Register, candidate: Candidate, rival: PointerMove | None) -> Verdict | None:
    """``only_if_better``. A model without a score passes when there is none to compare with."""
    margin = statement.only_if_better
    if margin is None:
        return None
    if rival is None:
        return Verdict(True, f"{statement.function} was not registered before")
    if rival.score is None:
        return Verdict(True, f"version {rival.version}, which it replaces, has no score")
    gain = None if candidate.score is None else round(candidate.sign * (candidate.score - rival.score), 12)
    by = f" by at least {margin}" if margin else ""
    if gain is not None and (gain >= margin if margin else gain > 0):
        return Verdict(True, f"score {candidate.score} is better{by} than {rival.score} of version {rival.version}")
    return Verdict(False, f"{candidate}, which is not better{by} than {rival.score} of version {rival.version}, which is current")
