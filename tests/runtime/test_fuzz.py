"""Broken input of every kind is refused by our own errors. ``make fuzz`` tries many more cases; see benchmarks/fuzz.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fuzz.engine import Kind, run
from support.fuzz.kinds import KINDS

CASES = 40


@pytest.mark.filterwarnings("ignore")  # warnings of libraries about damaged files, which users see beside the error
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_broken_input_is_accepted_or_refused(kind: Kind, tmp_path: Path) -> None:
    tally = run(kind, 7, range(CASES), tmp_path / "fuzz")
    assert tally.violations == 0, f"case {tally.first}: {tally.report}"
    assert tally.accepted + tally.refused == CASES
    assert tally.refused > 0
