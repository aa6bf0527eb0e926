"""A script's text and places in it; errors that show the place."""

from __future__ import annotations

import bisect
import functools
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from mlsql_runtime.errors import InputError, Origin, did_you_mean

_WINDOW = 100  # characters of a line that an error shows
_SECRET = re.compile(
    r"""(?P<name> (?:password|passwd|secret|token|private|credential|api_?key) [\w.-]{0,40} \\?[`"']? \s*[=:]\s* \\? )
        (?P<value> '''.*?(?:'''|\Z) | \"\"\".*?(?:\"\"\"|\Z) | '(?:\\.|[^'\\])* | "(?:\\.|[^"\\])* )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_SECRET_INSIDE = re.compile(
    r"""(?P<name> (?:password|passwd|pwd|secret|token|api_?key) = ) (?P<value> [^\s&;,"'`]{1,200} )""", re.VERBOSE | re.IGNORECASE
)
_SECRET_OF_USER = re.compile(r"""(?P<name> :// [^\s/:@"'`]{0,200} : ) (?P<value> [^\s/@"'`]{1,200} ) (?=@)""", re.VERBOSE)
HALF = re.compile("[\ud800-\udfff]")  # of a character, or a byte: no file and no terminal takes it
_HIDDEN = re.compile(r"[^\n\r'\"]")
_WORD = 60  # characters of a word that a message shows
_KNOWN = 1000  # names among which a similar one is looked for
_LISTED = 20  # names that a message lists when none is similar


@dataclass(frozen=True)
class Diagnostic:
    """A problem of a script, with the offsets at which its place begins and ends."""

    message: str
    start: int
    end: int


class CompileError(Exception):
    """A statement cannot be compiled. It stays in this package: :meth:`SourceText.error` makes an InputError of each problem."""

    def __init__(self, *problems: Diagnostic) -> None:
        super().__init__(problems[0].message)
        self.diagnostics = problems


@dataclass(frozen=True)
class SourceText:
    """The text of a script, called ``name`` in errors."""

    name: str
    text: str
    _line_starts: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = [0]
        starts.extend(index + 1 for index, character in enumerate(self.text) if character == "\n")
        object.__setattr__(self, "_line_starts", starts)

    def origin(self, offset: int) -> Origin:
        """Return the position of an offset."""
        line = bisect.bisect_right(self._line_starts, offset)
        return Origin(self.name, line, offset - self._line_starts[line - 1] + 1)

    def error(self, problem: Diagnostic) -> InputError:
        """``file:line:column: message``, the line without secrets, and a caret below the place."""
        origin = self.origin(problem.start)
        message = f"{origin}: {problem.message}\n{self._marked(origin, max(problem.end - problem.start, 1))}"
        return InputError(message, origin=origin)

    @functools.cached_property
    def _shown(self) -> str:
        """The text, as long as it is, with stars for passwords, and nothing that cannot be printed."""
        text = self.text
        for secret in (_SECRET, _SECRET_INSIDE, _SECRET_OF_USER):
            text = secret.sub(lambda match: match["name"] + _HIDDEN.sub("*", match["value"]), text)
        return text if text.isascii() else HALF.sub("\ufffd", text)

    def _marked(self, origin: Origin, length: int) -> str:
        begin = self._line_starts[origin.line - 1]
        end = self._line_starts[origin.line] - 1 if origin.line < len(self._line_starts) else len(self.text)
        first = max(0, origin.column - 1 - _WINDOW // 2) if end - begin > _WINDOW else 0
        window = slice(begin + first, min(begin + first + _WINDOW, end))  # not the line, which each of its errors would copy
        shown = self._shown[window].rstrip("\r")
        before = shown[: origin.column - 1 - first]
        marked = shown[len(before) : len(before) + length]
        padding = "".join("\t" if character == "\t" else " " * _width(character) for character in before)
        return f"    {shown}\n    {padding}{'^' * max(sum(map(_width, marked)), 1)}"


def _width(character: str) -> int:
    """Return the columns of a character on a terminal: Chinese characters take two."""
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shorten(text: str) -> str:
    """Return text in quotes for a message, cut when it is long."""
    return repr(text if len(text) <= _WORD else text[: _WORD - 3] + "...")


def suggest(word: str, known: Collection[str]) -> str:
    """:func:`~mlsql_runtime.errors.did_you_mean`, in bounded time and space."""
    advice = did_you_mean(word[:_WORD], list(known)[:_KNOWN])
    return "" if len(known) > _LISTED and advice.startswith("; known") else advice


def combine_errors(errors: Iterable[InputError]) -> InputError:
    """One error for several, with the origin of the first."""
    found = list(errors)
    if len(found) == 1:
        return found[0]
    return InputError(f"{len(found)} errors\n" + "\n".join(error.message for error in found), origin=found[0].origin)
