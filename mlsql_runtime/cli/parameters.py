"""Parameter types that commands share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click


class KeyValue(click.ParamType[tuple[str, str]]):
    """``name=value``, as a pair."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split at the first equals sign."""
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not equals or not key.strip():
            self.fail(f"{value!r} is no pair; expected name=value", param, ctx)
        return key.strip(), text


def as_dict(pairs: Iterable[tuple[str, str]], option: str) -> dict[str, str]:
    """Pairs of a repeated option as a dict.

    :raises click.BadParameter: when a name is given twice.
    """
    found: dict[str, str] = {}
    for key, value in pairs:
        if key in found:
            raise click.BadParameter(f"{key} is given twice; leave one of them out", param_hint=option)
        found[key] = value
    return found


#: A path that a shell completes; whether there is something is for the command to say.
FILE = click.Path()
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
