"""The blocks of code in the documentation."""

from __future__ import annotations

import itertools
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.workbench import TESTS

ROOT = TESTS.parent
#: README, and all pages but the records of decisions.
PAGES = [ROOT / "README.md", *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "decisions")]
SHELLS = ("bash", "sh")  # the tutorial's test runs bash, and leaves sh out
OUTPUTS = ("", "text")  # what a program prints, and other text
_FENCE = re.compile(
    r'^(?P<indent> *)```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^(?P=indent)```$', re.MULTILINE | re.DOTALL
)
_ENDS = ("||", ">")  # of a command's words


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: where it begins, its language, the file that the reader makes of it, and its lines."""

    page: str
    line: int
    language: str
    title: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def list_commands(self) -> Iterator[list[str]]:
        """Yield the words of each command of a shell; in a console, of the lines that begin with a prompt."""
        text = self.text.replace("\\\n", " ")
        if self.language == "console":
            text = "\n".join(re.findall(r"^\$ (.*)$", text, re.MULTILINE))
        text = re.sub(r'\beval "\$\((.*)\)"', r"\1", text)
        for words in _split_lines(text):
            yield list(itertools.takewhile(lambda word: word not in _ENDS, words))


def _split_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of each line; text in quotes may have several lines."""
    kept = ""
    for line in text.splitlines():
        kept += line
        try:
            words = shlex.split(kept, comments=True)
        except ValueError:  # a quote is open
            kept += "\n"
            continue
        kept = ""
        if words:
            yield words
    assert kept == "", f"a quote is not closed: {kept}"


def read_blocks() -> list[Block]:
    """Return the fenced blocks of all pages."""
    return [block for page in PAGES for block in _read_page(page)]


def _read_page(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield Block(
            page=page.relative_to(ROOT).as_posix(),
            line=text.count("\n", 0, found.start()) + 1,
            language=found["language"],
            title=found["title"],
            text=textwrap.dedent(found["text"]),
        )


def find_indented(page: Path) -> list[str]:
    """Return the first line of each block that is code by its indentation alone, and so says no language."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.findall(r"(?<=\n\n) {4,}(?! *(?:[-*]|\d+\.) )\S.*", text)
