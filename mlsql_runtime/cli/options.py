"""Options and arguments that commands share."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.options import ArgumentReader, Option

F = TypeVar("F", bound=Callable[..., Any])

#: A path that a shell completes; the command checks what is there.
FILE = click.Path()
_MASTER = re.compile(r"local(-cluster)?(\[.+\])?|(spark|k8s)://.+|yarn")


def pairs_option(*names: str, metavar: str = "NAME=VALUE", **options: Any) -> Callable[[F], F]:
    """Return a repeatable option of pairs, which the command gets as a dict; see :func:`click.option`."""

    def collect(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
        values: dict[str, str] = {}
        for text in texts:
            name, equals, value = text.partition("=")
            name = name.strip()
            if not equals or not name:
                raise click.BadParameter(f"{text!r} is not a pair; expected name=value")
            if name in values:
                raise click.BadParameter(f"{name} is given twice; leave one of them out")
            values[name] = value
        return values

    return click.option(*names, multiple=True, metavar=metavar, callback=collect, **options)


def json_file_option(*names: str, **options: Any) -> Callable[[F], F]:
    """Return an option for a file with a JSON object, which the command gets as a dict; see :func:`click.option`."""
    return click.option(*names, type=FILE, default="", metavar="FILE", callback=_read_json_file, **options)


def _read_json_file(ctx: click.Context, param: click.Parameter, path: str) -> dict[str, Any]:
    """Return the names and their texts, numbers, true or false; none for an empty path."""
    if not path:
        return {}
    where = f"{param.opts[0]} {path}"
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not JSON ({error})"
        expected = 'expected a JSON object such as {"day": "2024-05-01"}'
        raise InputError(f"{where}: {reason}; {expected}", path=path) from None
    if not isinstance(values, dict) or not all(isinstance(each, (str, int, float)) for each in values.values()):
        raise InputError(f"{where}: expected a JSON object of names to texts, numbers, true or false", path=path)
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

    def read_file(self, path: str) -> bytes | None:
        """Return the content of a file; None if there is no such file."""
        from mlsql_runtime.storage.location import Location

        return Location.of(path).read_or_none()


def version_argument(name: str, **options: Any) -> Callable[[F], F]:
    """Return an argument for the number of a version; a shell completes those of a local model path, newest first."""

    return click.argument(name, type=click.IntRange(min=1), shell_complete=_complete_version, **options)


def _complete_version(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from mlsql_runtime.store import layout

    numbers = reversed(layout.parse_version_numbers(_list_folder(ctx.params.get("path"))))
    return [str(number) for number in numbers if str(number).startswith(incomplete)]


def function_argument(name: str, **options: Any) -> Callable[[F], F]:
    """Return an argument for the name of a registered function; a shell completes those of a local model path."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        names = sorted(_list_folder(ctx.params.get("path"), "_functions"))
        return [each for each in names if each.startswith(incomplete)]

    return click.argument(name, shell_complete=complete, **options)


def _list_folder(path: str | None, below: str = "") -> Sequence[str]:
    """Return the names in a local folder.

    Nothing for remote storage, which would keep the user of a shell waiting, and for a folder that cannot be listed.
    """
    try:
        return os.listdir(os.path.join(os.path.expanduser(path), below)) if path and "://" not in path else ()
    except OSError:
        return ()


def _check_path(ctx: click.Context, param: click.Parameter, path: str) -> str:
    if not path.strip():
        raise click.BadParameter("the model path is empty")
    return path


def _check_master(ctx: click.Context, param: click.Parameter, master: str) -> str:
    if not _MASTER.fullmatch(master):
        raise click.BadParameter(f"{master!r}; expected local[*], spark://host:7077, yarn or k8s://…")
    return master


#: A folder or URI; a shell completes folders.
path_argument = click.argument(
    "path", metavar="PATH", callback=_check_path, shell_complete=lambda ctx, param, word: [CompletionItem(word, type="dir")]
)
version_option = click.option(
    "--version",
    type=click.IntRange(min=1),
    metavar="N",
    shell_complete=_complete_version,
    help="The version; the newest complete one by default.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
master_option = click.option(
    "--master",
    callback=_check_master,
    metavar="MASTER",
    default="local[*]",
    show_default=True,
    envvar="MLSQL_MASTER",
    help="Where Spark runs.",
)
conf_option = pairs_option("--conf", metavar="KEY=VALUE", help="A Spark property; repeatable.")
