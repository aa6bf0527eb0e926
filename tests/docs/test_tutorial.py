"""The tutorial, word by word: its files are written, its commands are run, and they print what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.airflow import Airflow
from support.workbench import TESTS

PAGES = TESTS.parent / "docs" / "tutorial"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the reader works, in all parts."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "dags" / "scripts").mkdir(parents=True)
    return folder


def run(command: str, folder: Path, airflow: Airflow) -> str:
    """Run the lines of a block, and return what they print."""
    if found := re.fullmatch(r"airflow dags test (\w+)\n", command):
        return airflow.succeed(found[1], dags=folder / "dags")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(
        script, cwd=folder, env=os.environ | {"PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def assert_prints(expected: str, printed: str) -> None:
    """Each expected line is part of what was printed, in this order; … stands for any text, and blanks do not count."""
    rest = " ".join(printed.split())
    for piece in filter(str.strip, re.split("…|\n", expected)):
        _, found, rest = rest.partition(" ".join(piece.split()))
        assert found, f"expected {piece!r} in:\n{printed[-5000:]}"


@pytest.mark.usefixtures("starts_jvm")
@pytest.mark.parametrize("page", ["first-dag", "mlsql-script", "columns"])
def test_the_tutorial_does_what_it_says(page: str, folder: Path, airflow: Airflow) -> None:
    printed, compared = "", 0
    for language, title, text in BLOCK.findall((PAGES / f"{page}.md").read_text(encoding="utf-8")):
        if title:
            (folder / title).write_text(text)
        elif language == "bash":
            printed = run(text, folder, airflow)
        elif language == "text":
            assert_prints(text, printed)
            compared += 1
    assert compared >= 4
