"""Random scripts compile or are refused, and soon. ``make bench`` tries a hundred thousand; see benchmarks/language.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import language_fuzz

from mlsql_runtime.language import check_script


def test_random_scripts_compile_or_are_refused(tmp_path: Path) -> None:
    tally = language_fuzz.run(400, seed=2, folder=tmp_path)
    assert tally.compiled > 24
    assert tally.refused > 240


def test_what_is_found_is_shown_with_its_script(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"0\.0 s for 10 characters: 'select 1 a'"):
        language_fuzz.Tally(limit=-1.0).add("select 1 a", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "load csv.`/b` where a='\ud800' as t;",
        "include '\udcff';",
        "select '\udfff' as t;",
        "select '${half}' as t;",
        "load csv.`${half}` as t;",
    ],
)
def test_half_a_character_is_refused_because_no_plan_can_hold_it(tmp_path: Path, text: str) -> None:
    (error,) = check_script(text, folder=tmp_path, variables={"half": "\ud800"})
    assert "half a character" in error.message
    error.message.encode()


@pytest.mark.timeout(30)
def test_many_unknown_variables_take_no_longer_than_others() -> None:
    known = "".join(f"set variable_{number}='1'; " for number in range(2_000))
    unknown = " and ".join(f"a{number}='${{varable{number}}}'" for number in range(5_000))
    first, *_, last = check_script(f"{known} load csv.`b` where {unknown} as t;")
    assert "did you mean" in first.message
    assert "set it in the script" in last.message


@pytest.mark.timeout(30)
def test_many_mistakes_in_one_long_line_do_not_copy_it() -> None:
    wrong = " and ".join(f"a{number}='${{x}}'" for number in range(10_000))
    assert "variable 'x' is not set" in check_script(f"load csv.`b` where {wrong} as t;")[-1].message
