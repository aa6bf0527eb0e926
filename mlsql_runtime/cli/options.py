"""Options and arguments that commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

_MASTER = re.compile(r"local(-cluster)?(\[.+\])?|(spark|k8s)://.+|yarn")


class KeyValue(click.ParamType[tuple[str, str]]):
    """``name=value``, as a pair."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split the text at its first equals sign."""
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not equals or not key.strip():
            self.fail(f"{value!r} is not a pair; expected name=value", param, ctx)
        return key.strip(), text


def to_dict(pairs: Iterable[tuple[str, str]], option: str) -> dict[str, str]:
    """Return the pairs of a repeated option as a dict.

    :raises click.BadParameter: when a name is given twice.
    """
    values: dict[str, str] = {}
    for key, value in pairs:
        if key in values:
            raise click.BadParameter(f"{key} is given twice; leave one of them out", param_hint=option)
        values[key] = value
    return values


class Master(click.ParamType[str]):
    """The URL of a Spark master."""

    name = "master"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the form of the URL."""
        if not _MASTER.fullmatch(value):
            self.fail(f"{value!r}; expected local[*], spark://host:7077, yarn or k8s://…", param, ctx)
        return str(value)


class ModelPath(click.ParamType[str]):
    """A folder or URI, unchanged; a shell completes folders."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse an empty text."""
        if not str(value).strip():
            self.fail("the model path is empty", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Let the shell complete folders."""
        return [CompletionItem(incomplete, type="dir")]


class VersionNumber(click.IntRange):
    """The number of a version; a shell completes those of a local model path."""

    def __init__(self) -> None:
        super().__init__(min=1)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the numbers under the model path on the command line, newest first."""
        from mlsql_runtime.store import layout

        numbers = reversed(layout.parse_version_numbers(_list_folder(ctx.params.get("path"))))
        return [CompletionItem(str(number)) for number in numbers if str(number).startswith(incomplete)]


class FunctionName(click.ParamType[str]):
    """The name of a registered function; a shell completes those of a local model path."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names under the model path on the command line."""
        names = sorted(_list_folder(ctx.params.get("path"), "_functions"))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _list_folder(path: str | None, below: str = "") -> Sequence[str]:
    """Return the names in a local folder.

    Nothing for remote storage, which would keep the user of a shell waiting, and for a folder that cannot be listed.
    """
    try:
        return os.listdir(os.path.join(os.path.expanduser(path), below)) if path and "://" not in path else ()
    except OSError:
        return ()


#: A path that a shell completes; the command checks what is there.
FILE = click.Path()
path_argument = click.argument("path", type=ModelPath(), metavar="PATH")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
master_option = click.option(
    "--master",
    type=Master(),
    metavar="MASTER",
    default="local[*]",
    show_default=True,
    envvar="MLSQL_MASTER",
    help="Where Spark runs.",
)
