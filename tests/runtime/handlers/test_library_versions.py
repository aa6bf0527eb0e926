"""One line in the task log when a model is used with other versions than those that trained it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pytest

from mlsql_runtime.handlers.library_versions import find_installed_versions, warn_of_other_versions

TRAINED = {"python": "3.11.7", "scikit-learn": "1.9.1", "numpy": "2.4.6"}


@pytest.mark.parametrize(
    ("trained", "used", "fragment"),
    [
        (TRAINED, [TRAINED], None),
        (TRAINED, [TRAINED | {"numpy": "1.26", "lightgbm": "4.6.0"}], None),  # neither of them is pickled by its own classes here
        ({}, [TRAINED], None),
        (TRAINED, [TRAINED | {"scikit-learn": "1.8.0"}], "scikit-learn 1.9.1, but is loaded with 1.8.0"),
        (TRAINED, [TRAINED, {"scikit-learn": "1.8.0"}, {}], "scikit-learn 1.9.1, but is loaded with 1.8.0 and none"),
        (
            TRAINED | {"lightgbm": "4.6.0"},
            [{}],
            "scikit-learn 1.9.1, but is loaded with none; lightgbm 4.6.0, but is loaded with none",
        ),
    ],
)
def test_versions_that_differ_are_named_in_one_line(
    capsys: pytest.CaptureFixture[str], trained: Mapping[str, str], used: list[Mapping[str, str]], fragment: str | None
) -> None:
    warn_of_other_versions("function jack", trained, used)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == (0 if fragment is None else 1)
    if fragment is not None:
        assert f"warning: function jack: its model was trained with {fragment}" in lines[0]


def test_on_one_machine_the_versions_are_those_of_this_process() -> None:
    job: Any = SimpleNamespace(is_local=True)
    assert find_installed_versions(job, ("scikit-learn", "numpy", "a package that nobody has")) == [
        {name: metadata.version(name) for name in ("scikit-learn", "numpy")}
    ]
