"""Broken input of every kind is refused by our own errors. ``make fuzz`` tries many more cases; see benchmarks/fuzz.py."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.fuzz.engine import Kind, Target, Violation, make_case, run, try_case
from support.fuzz.kinds import KINDS
from support.fuzz.mutations import mutate_bytes

from mlsql_runtime.errors import InputError

CASES = 40


@pytest.mark.filterwarnings("ignore")  # warnings of libraries about damaged files, which users see beside the error
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_broken_input_is_accepted_or_refused(kind: Kind, tmp_path: Path) -> None:
    tally = run(kind, 7, range(CASES), tmp_path / "fuzz")
    assert tally.violations == 0, f"case {tally.first}: {tally.report}"
    assert tally.accepted + tally.refused == CASES


# cases of ``make fuzz SEED=2`` that were violations once
MENDED = {
    "MLmodel": 2138,
    "manifest": 5377,
    "record of a function package": 3819,
    "JSON lines": 530,
    "libsvm": 3604,
    "JSON of Spark": 7949,
    "Parquet of Spark": 8298,
    "ORC of Spark": 1458,
    "records of a run": 9769,
    "records of another producer": 9814,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MENDED)
def test_a_case_that_was_a_violation_is_none_any_more(name: str, tmp_path: Path) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    tally = run(kind, 2, [MENDED[name]], tmp_path / "fuzz")
    assert tally.violations == 0, tally.report


def test_most_cases_are_broken(tmp_path: Path) -> None:
    manifest = next(kind for kind in KINDS if kind.name == "manifest")
    tally = run(manifest, 7, range(CASES), tmp_path / "fuzz")
    assert tally.refused > tally.accepted > 0


def test_the_same_seed_and_number_give_the_same_case(tmp_path: Path) -> None:
    for kind in KINDS[:3]:
        target = kind.make(tmp_path / kind.name.replace(" ", "-"))
        assert [make_case(kind, target, 1, number) for number in range(20)] == [
            make_case(kind, target, 1, number) for number in range(20)
        ]


def test_what_a_reader_must_not_do_is_a_violation(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()

    def refuse(read: Callable[[bytes], Any]) -> str:
        with pytest.raises(Violation) as caught:
            try_case(Target([b""], mutate_bytes, read, tmp_path / "inside", where=("x.json",)), b"")
        return str(caught.value)

    def raise_error(message: str, **facts: Any) -> Any:
        raise InputError(message, **facts)

    assert "ValueError" in refuse(lambda case: int("x"))
    assert "side effects: open " in refuse(lambda case: (tmp_path / "outside").write_bytes(case))
    assert "side effects: subprocess.Popen" in refuse(lambda case: subprocess.run(["true"], check=True))
    assert "side effects: unpickled" in refuse(lambda case: pickle.loads(pickle.dumps(Path("/x"))))
    assert "does not name x.json" in refuse(lambda case: raise_error("it is wrong"))
    assert "cannot travel as JSON" in refuse(lambda case: raise_error("x.json: \ud800"))
    assert "cannot travel as JSON" in refuse(lambda case: raise_error("x.json", fact=object()))
