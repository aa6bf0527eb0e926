"""The pages' command lines of mlsql doctor are ones that it takes."""

from __future__ import annotations

import re
import shlex

import pytest
from support.workbench import TESTS

from mlsql_runtime.cli.doctor import doctor

PAGES = sorted((TESTS.parent / "docs").rglob("*.md"))
COMMANDS = [
    (page.name, line)
    for page in PAGES
    for line in re.findall(r"^(?: {4}|\$ )mlsql doctor (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
]


def test_there_are_some() -> None:
    assert {name for name, _ in COMMANDS} == {"cli.md", "environments.md"}


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_line_of_a_page_can_be_given(page: str, line: str) -> None:
    given = doctor.make_context("doctor", shlex.split(line)).params
    assert given["script"] == "train.py"
