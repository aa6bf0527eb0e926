"""Options and arguments that commands share."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.options import ArgumentReader, Option

F = TypeVar("F", bound=Callable[..., Any])

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


def pairs_option(*names: str, **options: Any) -> Callable[[F], F]:
    """Return a repeatable option of pairs, which the command gets as a dict; see :func:`click.option`."""

    def collect(ctx: click.Context, param: click.Parameter, pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
        return to_dict(pairs, names[0])

    return click.option(*names, type=KeyValue(), multiple=True, callback=collect, **options)


class JsonFile(click.Path):
    """A file with a JSON object of names to texts, numbers, true or false; an empty path is an empty object."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the object."""
        if not value or isinstance(value, dict):
            return value or {}
        option = param.opts[0] if param else "the file"
        try:
            values = json.loads(Path(value).read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"not JSON ({error})"
            expected = 'expected a JSON object such as {"day": "2024-05-01"}'
            raise InputError(f"{option} {value}: {reason}; {expected}", path=value) from None
        if not isinstance(values, dict) or not all(isinstance(each, (str, int, float)) for each in values.values()):
            raise InputError(f"{option} {value}: expected a JSON object of names to texts, numbers, true or false", path=value)
        return values


def declared_option(flag: str, option: Option, **more: Any) -> Callable[[F], F]:
    """Return a click option for a declared option of a statement, with its sentence as the help unless ``more`` has another.

    The parameter has the name of the operator's argument, and its value is read by :class:`CommandArguments`.
    """
    return click.option(flag, str(option.argument), **{"help": option.doc.replace("``", "")} | more)


class CommandArguments(ArgumentReader):
    """The parameters of the current command, as the source of a statement's options.

    :param values: the parameters; repeated pairs are dicts, repeated flags one text. None of them names a table.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        params = click.get_current_context().command.params
        flags = {
            str(each.name): each.opts[0] if isinstance(each, click.Option) else each.human_readable_name.strip("[]")
            for each in params
        }
        super().__init__(values, self, lambda option: flags.get(str(option.argument), option.name))

    def find_table(self, value: Any, name: str) -> str:
        """Return the value: commands load the data themselves."""
        return str(value)

    def resolve_path(self, path: str) -> str:
        """Return the path; a relative one starts at the working directory."""
        return path

    def read_requirements(self, path: str) -> str:
        """Return the text of a requirements file."""
        from mlsql_runtime.storage.requirements import read_requirements

        return read_requirements(path)


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
conf_option = pairs_option("--conf", metavar="KEY=VALUE", help="A Spark property; repeatable.")
