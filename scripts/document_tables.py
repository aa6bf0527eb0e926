"""Tables of JSON documents for the reference, made from the dataclasses that write them."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import types
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_MARKER = re.compile(r"^<!-- fields of ([\w.]+):(\w+) -->$", re.MULTILINE)
_WORDS = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    datetime: "time in ISO 8601",
    Any: "any value",
}


def fill_tables(markdown: str) -> str:
    """Replace each line ``<!-- fields of MODULE:CLASS -->`` by a table of the fields of this dataclass."""
    return _MARKER.sub(lambda match: render_table(getattr(importlib.import_module(match[1]), match[2])), markdown)


def render_table(cls: type) -> str:
    """Return a table of the fields of a dataclass; those of dataclasses in it follow, as ``fits[].score``."""
    rows = "".join(f"| `{path}` | {kind} | {text} |\n" for path, kind, text in _list_fields(cls, ""))
    return f"| field | type | |\n|---|---|---|\n{rows}"


def _list_fields(cls: type, prefix: str) -> Iterator[tuple[str, str, str]]:
    hints = get_type_hints(cls)
    texts = _read_texts(cls)
    for field in dataclasses.fields(cls):
        kind, inner, brackets = _describe(hints[field.name])
        path = f"{prefix}{field.name}"
        yield path, kind, texts.get(field.name, "")
        if inner is not None:
            yield from _list_fields(inner, f"{path}{brackets}.")


def _read_texts(cls: type) -> dict[str, str]:
    """Return what the docstring of a class says of its parameters."""
    found = re.findall(r":param (\w+): ((?:.|\n(?=  ))*)", inspect.getdoc(cls) or "")
    return {name: " ".join(text.split()).replace("``", "`").replace("|", "\\|").replace("None", "null") for name, text in found}


def _describe(hint: Any) -> tuple[str, type | None, str]:
    """Return the words for a type, the dataclass in it or None, and the brackets that lead to it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        kinds = [arg for arg in args if arg is not type(None)]
        described = [_describe(arg) for arg in kinds]
        words = " or ".join(dict.fromkeys(kind for kind, _, _ in described))
        inner, brackets = next(((each, marks) for _, each, marks in described if each is not None), (None, ""))
        return words + (" or null" if len(kinds) < len(args) else ""), inner if len(kinds) == 1 else None, brackets
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in args), None, ""
    if origin is tuple:
        kind, inner, brackets = _describe(args[0])
        return f"list of: {kind}", inner, f"[]{brackets}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        kind, inner, brackets = _describe(args[1])
        return f"object of: {kind}", inner, f".*{brackets}"
    if dataclasses.is_dataclass(hint):
        return "object", hint if isinstance(hint, type) else None, ""
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint))), None, ""
