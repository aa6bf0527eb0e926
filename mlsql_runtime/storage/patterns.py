"""Paths of data that may be patterns: one rule for checks, for Spark and for readers without Spark.

The leading part of a path that exists as it is written is literal. What follows is a pattern as Spark's readers take it: ``*``,
``?``, ``[abc]``, ``[a-c]``, ``[^abc]``, ``{one,two}``, and a backslash before a character that stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

from mlsql_runtime.errors import InputError
from mlsql_runtime.storage.location import Location

_SPECIAL = re.compile(r"[*?\[\]{}\\]")  # what makes a path a pattern for Hadoop's ``SparkHadoopUtil.isGlobPath``


def escape(path: str) -> str:
    r"""Return a path as a pattern that matches it alone: ``a \[1\]`` for ``a [1]``."""
    return _SPECIAL.sub(r"\\\g<0>", path)


def escape_existing(path: str, exists: Callable[[str], bool]) -> str:
    """Return a path as a pattern for Spark, in which the part that exists is literal.

    :param exists: returns whether a path exists; called only for those with a special character.
    """
    head, tail = path, ""
    while _SPECIAL.search(head):
        if exists(head):
            return escape(head) + tail
        head, slash, name = head.rpartition("/")
        tail = slash + name + tail
    return path


def find_paths(place: Location) -> list[Location]:
    """Return the place itself if it exists, else what matches its path as a pattern, sorted.

    Names that begin with ``_`` or ``.`` match no pattern, as Spark ignores such files.

    :raises InputError: when nothing has this name, and it is not a pattern either.
    """
    head, names = place, list[str]()
    while not head.exists():
        names.insert(0, head.name)
        head = head.parent
        if not _SPECIAL.search(head.path):
            break
    if not names:
        return [place]
    if not any(_SPECIAL.search(name) for name in names):
        return []
    found: set[str] = set()
    for pattern in _expand("/".join(names)):
        found.update(_match(head, pattern.split("/"), place))
    return [place.with_path(path) for path in sorted(found)]


def _match(folder: Location, names: list[str], place: Location) -> list[str]:
    """Return the paths below a folder whose names match one pattern each."""
    name, *others = names
    if _SPECIAL.search(name):
        pattern = _translate(name, place)
        below = [each for each in folder.list_names() if pattern.fullmatch(each) and each[0] not in "._"]
    else:
        below = [name] if (folder / name).exists() else []
    if not others:
        return [(folder / each).path for each in below]
    return [path for each in below for path in _match(folder / each, others, place)]


def _expand(pattern: str) -> list[str]:
    """Return the patterns that one with a slash in braces stands for: ``a/x`` and ``b`` for ``{a/x,b}``."""
    for start, end, parts in _find_braces(pattern):
        if any("/" in part for part in parts):
            return [each for part in parts for each in _expand(pattern[:start] + part + pattern[end:])]
    return [pattern]


def _find_braces(pattern: str) -> list[tuple[int, int, list[str]]]:
    """Return where each outer group of braces begins and ends, and what stands between its commas."""
    found, depth, start, commas = [], 0, 0, list[int]()
    for position, letter in _letters(pattern):
        if letter == "{":
            if depth == 0:
                start, commas = position, []
            depth += 1
        elif letter == "," and depth == 1:
            commas.append(position)
        elif letter == "}" and depth:
            depth -= 1
            if depth == 0:
                bounds = [start, *commas, position]
                parts = [pattern[a + 1 : b] for a, b in pairwise(bounds)]
                found.append((start, position + 1, parts))
    return found


def _letters(pattern: str) -> list[tuple[int, str]]:
    """Return each character with its position; one after a backslash comes with it."""
    return [(match.start(), match[0]) for match in re.finditer(r"\\.|.", pattern, re.DOTALL)]


def _translate(name: str, place: Location) -> re.Pattern[str]:
    """Return the regular expression of the pattern of one name, by the rules of Hadoop's ``GlobPattern``."""
    parts: list[str] = []
    depth, in_class = 0, False
    for _, letter in _letters(name):
        if letter[0] == "\\" and len(letter) == 2:
            parts.append(re.escape(letter[1]))
        elif in_class:
            in_class = letter != "]"
            is_negation = letter in "!^" and parts[-1] == "["
            parts.append("^" if is_negation else letter if letter in "]-" else re.escape(letter))
        elif letter == "[":
            in_class = True
            parts.append("[")
        elif letter == "{":
            depth += 1
            parts.append("(?:")
        elif letter == "}" and depth:
            depth -= 1
            parts.append(")")
        elif letter == "," and depth:
            parts.append("|")
        else:
            parts.append({"*": ".*", "?": "."}.get(letter) or re.escape(letter))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:
        raise InputError(
            f"{place.uri} does not exist, and '{name}' is not a pattern either: a bracket or brace in it is not closed, or "
            "empty; write a backslash before one that is part of a name",
            path=place.uri,
        ) from None
