"""The text of tokens, without quotes and escapes, and with ``${name}`` replaced.

In ``"…"`` and ``'…'`` a backslash makes the quote, itself and ``${`` plain; before anything else it stays, as in ``"\\t"``.
Everywhere else (triple quotes, back-quotes, queries) it does so before ``${`` only. An inserted value is not read again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lark import Token

from mlsql_runtime.language.scanner import end_of, start_of
from mlsql_runtime.language.source import HALF, CompileError, Diagnostic, shorten, suggest

_NAME = re.compile(r"[^\W\d][\w.]*")
_VARIABLE = r"|\$\{(?P<name>[^}]*)(?P<close>\}?)"
_MOST = 1 << 26  # characters that variables put into one script: each may hold others
_ADVISED = 20  # unknown variables of a script for which a similar one is looked for, which takes a while
_ESCAPES = {
    '"': re.compile(r'\\(?P<plain>["\\]|\$(?=\{))' + _VARIABLE),
    "'": re.compile(r"\\(?P<plain>['\\]|\$(?=\{))" + _VARIABLE),
    "`": re.compile(r"`(?P<plain>`)|\\(?P<dollar>\$)(?=\{)" + _VARIABLE),
}
_PLAIN = re.compile(r"\\(?P<plain>\$)(?=\{)" + _VARIABLE)


def is_variable_name(name: str) -> bool:
    """Return whether ``${name}`` can be written."""
    return _NAME.fullmatch(name) is not None


@dataclass
class Variables:
    """The variables that are set.

    :param later: the first line in which the script sets each of its variables, for an error about one that is used before.
    """

    values: dict[str, str]
    later: Mapping[str, int] = field(default_factory=dict)
    _put_in: int = field(default=0, init=False)
    _unknown: int = field(default=0, init=False)

    def text(self, token: Token) -> str:
        """Return the text of a token of MLSQL.

        :raises CompileError: for a variable that is not set, and for characters that UTF-8 cannot encode.
        """
        quote, raw = token[:1], str(token)
        if token.type == "BLOCK":
            text = self._replaced(_PLAIN, token, 3, _without_line_ends(raw[3:-3]))
        elif token.type in ("STRING", "BACKQUOTED"):
            text = self._replaced(_ESCAPES[quote], token, 1, raw[1:-1])
        else:
            text = self._replaced(_PLAIN, token, 0, raw)
        refuse_halves(text, start_of(token), end_of(token))
        return text

    def shown(self, token: Token) -> str:
        """Return a token's text for a message, with variables by name: their values may be secret."""
        return shorten(str(token).strip("\"'`")) if "${" in token else shorten(self.text(token))

    def sql(self, token: Token) -> str:
        """Return a token of a query, with its quotes."""
        return self._replaced(_PLAIN, token, 0, str(token))

    def _replaced(self, pattern: re.Pattern[str], token: Token, skipped: int, raw: str) -> str:
        if "$" not in raw and "\\" not in raw and "`" not in raw:
            return raw
        begin = start_of(token) + str(token).find(raw, skipped)

        def replacement(match: re.Match[str]) -> str:
            found = match.groupdict()
            if found["name"] is None:
                return str(found["plain"] or found["dollar"])
            start, end = begin + match.start(), begin + match.end()
            if not found["close"]:
                raise CompileError(
                    Diagnostic("${ is opened and never closed; write \\${ for these characters themselves", start, start + 2)
                )
            return self._value(found["name"].strip(), start, end)

        return pattern.sub(replacement, raw)

    def _value(self, name: str, start: int, end: int) -> str:
        if name in self.values:
            self._put_in += len(self.values[name])
            if self._put_in > _MOST:
                raise CompileError(
                    Diagnostic(
                        f"variables put more than {_MOST >> 20} MiB into this script; do they grow by each other?", start, end
                    )
                )
            return self.values[name]
        if not is_variable_name(name):
            message = f"${{{name[:40]}}} is not a variable; expressions are not replaced, so set a variable and write ${{name}}"
        elif name in self.later:
            message = (
                f"variable '{name}' is used before it is set, in line {self.later[name]}; set it first, to something without it"
            )
        else:
            self._unknown += 1
            near = suggest(name, self.values) if self._unknown <= _ADVISED else ""
            message = f"variable {shorten(name)} is not set{near or '; set it in the script or give it from outside'}"
        raise CompileError(Diagnostic(message, start, end))


def refuse_halves(text: str, start: int, end: int) -> None:
    """Refuse surrogates, which stand for a byte or half a character in Python: plans and paths are UTF-8.

    :raises CompileError: for such a character.
    """
    half = None if text.isascii() else HALF.search(text)
    if half is not None:
        found = f"U+{ord(half[0]):04X}, which is half a character and cannot be written to a file"
        raise CompileError(Diagnostic(f"there is {found}; read the text with the encoding it was written in", start, end))


def _without_line_ends(text: str) -> str:
    """Return a block without its first and last line end, when its quotes stand on lines of their own."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "\n" else text
