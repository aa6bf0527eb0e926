"""The gates of a registration, and what they say."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from mlsql_runtime.handlers.gates import Candidate, check_gates
from mlsql_runtime.plan import Register
from mlsql_runtime.store.function_records import PointerMove

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def move(version: int, score: float | None, job_id: str = "before") -> PointerMove:
    return PointerMove(
        happened="registered",
        function_version=version,
        version=version,
        alg_index=0,
        score=score,
        job_id=job_id,
        at=NOW,
        by=None,
        reason=None,
    )


def candidate(score: float | None, greater_is_better: bool = True) -> Candidate:
    return Candidate(version=3, alg_index=0, score=score, greater_is_better=greater_is_better, job_id="job")


def gates(min_score: float | None = None, only_if_better: float | None = None) -> Register:
    return Register(model_path="/m", function="jack", script_path="/p.py", min_score=min_score, only_if_better=only_if_better)


@pytest.mark.parametrize(
    ("asked", "score", "before", "reason"),
    [
        (gates(), None, (), None),
        (gates(min_score=0.9), 0.9, (), "score 0.9 is at least 0.9"),
        (gates(only_if_better=0), 0.1, (), "jack was not registered before"),
        (gates(only_if_better=0), None, (), "jack was not registered before"),
        (gates(only_if_better=0), 0.95, (move(1, 0.99), move(2, 0.93)), "score 0.95 is better than 0.93 of version 2"),
        (gates(only_if_better=0.1), 0.3, (move(2, 0.2),), "score 0.3 is better by at least 0.1 than 0.2 of version 2"),
        (gates(only_if_better=0), 0.1, (move(2, None),), "the current version 2 has no score"),
        (gates(0.5, 0), 0.6, (move(2, 0.5),), "score 0.6 is at least 0.5; score 0.6 is better than 0.5 of version 2"),
        (gates(only_if_better=0), 0.95, (move(2, 0.93), move(3, 0.95, "job")), "score 0.95 is better than 0.93 of version 2"),
        (gates(only_if_better=0), 0.95, (move(3, 0.95, "job"),), "jack was not registered before"),
    ],
)
def test_a_model_that_passes(asked: Register, score: float | None, before: tuple[PointerMove, ...], reason: str | None) -> None:
    result = check_gates(asked, candidate(score), before)
    assert (result.has_passed, result.reason) == (True, reason)


@pytest.mark.parametrize(
    ("asked", "score", "before", "reason"),
    [
        (gates(min_score=0.9), 0.8, (), "has score 0.8; expected at least 0.9"),
        (gates(min_score=0.9), None, (), "has score None; expected at least 0.9"),
        (
            gates(only_if_better=0),
            0.9,
            (move(2, 0.9),),
            "has score 0.9; expected better than 0.9 of the current version 2",
        ),
        (gates(only_if_better=0), None, (move(2, 0.9),), "has score None; expected better than 0.9 of the current version 2"),
        (gates(only_if_better=0.1), 0.95, (move(2, 0.9),), "expected better by at least 0.1 than 0.9 of the current version 2"),
        (gates(0.5, 0), 0.4, (move(2, 0.3),), "expected at least 0.5"),
        (gates(0.5, 0), 0.6, (move(2, 0.7),), "better than 0.7 of the current version 2"),
        (gates(only_if_better=0), 0.95, (move(3, 0.95, "another"),), "better than 0.95 of the current version 3"),
    ],
)
def test_a_model_that_is_refused(asked: Register, score: float | None, before: tuple[PointerMove, ...], reason: str) -> None:
    result = check_gates(asked, candidate(score), before)
    assert not result.has_passed
    assert result.reason is not None
    assert reason in result.reason


@pytest.mark.parametrize(
    ("asked", "before", "threshold"),
    [
        (gates(), (), None),
        (gates(min_score=0.5), (), 0.5),
        (gates(only_if_better=0), (), None),
        (gates(only_if_better=0.1), (move(1, 0.5),), 0.6),
        (gates(0.7, 0), (move(1, 0.5),), 0.7),
        (gates(0.5, 0), (move(1, 0.7),), 0.7),
        (gates(0.5, 0), (move(1, None),), 0.5),
    ],
)
@pytest.mark.parametrize("score", [0.0, 1.0, None])
def test_the_result_has_the_score_that_the_gates_asked_for(
    asked: Register, before: tuple[PointerMove, ...], threshold: float | None, score: float | None
) -> None:
    assert check_gates(asked, candidate(score), before).threshold == threshold
    lower = check_gates(gates(0.5, 0.1), candidate(score, False), [move(1, 0.7)])
    assert lower.threshold == 0.5


def test_losses_are_better_when_they_are_lower() -> None:
    before = (move(2, 0.5),)
    assert check_gates(gates(0.5, 0), candidate(0.4, False), before).reason == (
        "score 0.4 is at most 0.5; score 0.4 is better than 0.5 of version 2"
    )
    assert "expected at most 0.5" in str(check_gates(gates(0.5), candidate(0.6, False), ()).reason)
    assert not check_gates(gates(only_if_better=0), candidate(0.6, False), before).has_passed
    assert check_gates(gates(only_if_better=0), candidate(1e-13, False), (move(2, 5e-13),)).has_passed
    assert not check_gates(gates(only_if_better=0), candidate(0.1 + 0.2), (move(2, 0.3),)).has_passed
