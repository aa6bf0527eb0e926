"""The tutorial, word by word, as far as it starts no Spark: files are written, commands are run, and they print what it says."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.workbench import TESTS

from airflow_provider_mlsql.operators.base import MLSQLOperator

PAGES = TESTS.parent / "docs" / "tutorial"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
STARTS_SPARK = re.compile(r"airflow dags test|mlsql run")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the reader works, in all parts."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "dags" / "scripts").mkdir(parents=True)
    return folder


def run(command: str, folder: Path) -> str:
    """Run the lines of a block, and return what they print."""
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


def read_blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """Return language, title and text of the blocks."""
    return iter(BLOCK.findall((PAGES / f"{page}.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize(("page", "commands"), [("first-dag", 2), ("mlsql-script", 2), ("columns", 2)])
def test_the_tutorial_does_what_it_says(page: str, commands: int, folder: Path) -> None:
    printed, compared, has_spark = "", 0, False
    for language, title, text in read_blocks(page):
        has_spark = has_spark or (language == "bash" and STARTS_SPARK.search(text) is not None)
        if title:
            (folder / title).write_text(text)
        elif language == "bash" and not has_spark:
            printed = run(text, folder)
        elif language == "text" and not has_spark:
            assert_prints(text, printed)
            compared += 1
    assert compared == commands


@pytest.mark.parametrize(("page", "file"), [("first-dag", "wine.py"), ("columns", "churn.py")])
def test_the_tasks_of_the_tutorial_make_jobs(page: str, file: str, tmp_path: Path) -> None:
    (tmp_path / "dags" / "scripts").mkdir(parents=True)
    for _, title, text in read_blocks(page):
        if title:
            (tmp_path / title).write_text(text)
    found = runpy.run_path(str(tmp_path / "dags" / file))
    tasks = [found[name] for name in ("train", "register")]
    assert all(isinstance(task, MLSQLOperator) and task.build_job().statements for task in tasks)
    found["predict"].functions = {"grade" if file == "wine.py" else "churn": found["MODEL"]}
    assert [statement.tag for statement in found["predict"].build_job().statements] == ["load", "select", "save"]
