"""A model path on the command line, and the versions under it, as a shell completes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem


class ModelPath(click.ParamType[str]):
    """A folder or URI, given as it is; a shell completes folders."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Anything but nothing."""
        if not str(value).strip():
            self.fail("the model path is empty", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Folders."""
        return [CompletionItem(incomplete, type="dir")]


class Version(click.IntRange):
    """A version's number; a shell completes those of a local model path."""

    def __init__(self) -> None:
        super().__init__(min=1)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The numbers under the path before it, newest first."""
        from mlsql_runtime.store import layout

        numbers = reversed(layout.version_numbers(local_names(ctx.params.get("path"))))
        return [CompletionItem(str(number)) for number in numbers if str(number).startswith(incomplete)]


def local_names(path: str | None, below: str = "") -> Sequence[str]:
    """What lies in a local folder; nothing when it cannot be listed, or is remote: a shell's user does not wait for that."""
    try:
        return os.listdir(os.path.join(os.path.expanduser(path), below)) if path and "://" not in path else ()
    except OSError:
        return ()


path_argument = click.argument("path", type=ModelPath(), metavar="PATH")
