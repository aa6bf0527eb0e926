"""A user's script as bytes, so that it travels with the Spark tasks and every group gets its own copy."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import mlsql_runtime
from mlsql_runtime import HELPERS
from mlsql_runtime.errors import InputError, ScriptNotFound
from mlsql_runtime.plan import get_builtin_name, to_builtin_path
from mlsql_runtime.script.project import ENTRY_POINTS, MLPROJECT, EntryPoint, Project, read_project
from mlsql_runtime.script.zip_files import read_zip
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import ScriptFacts

MAX_BYTES = 64 << 20
_COPIES = tuple(f"{name}.py" for name in HELPERS)  # MLSQL's modules, as projects carried them along: ours are meant
ENTRY_SCRIPTS = {"train": "train.py", "register": "predict.py", "predict": "batch_predict.py"}  # of a folder, by statement
_OTHERS = frozenset(("__pycache__", ".git", ".DS_Store"))  # that travel with no job


@dataclass(frozen=True)
class ScriptBundle:
    """``files`` maps relative paths to contents; ``entry`` is the one to run. ``point`` is what an MLproject says about it,
    ``notes`` what its author should know; ``name`` is what people call a script that has no file of theirs.
    """

    entry: str
    files: Mapping[str, bytes]
    point: EntryPoint | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    name: str | None = None

    def fill(self, given: Mapping[str, str], where: str) -> dict[str, str]:
        """The parameters given, with the MLproject's defaults.

        :param where: what they are called in errors, such as ``fitParam.0``.
        :raises InputError: when one is missing, or is not of its type.
        """
        return dict(given) if self.point is None else self.point.fill(given, where)

    def command_line(self, parameters: Mapping[str, str]) -> tuple[str, ...]:
        """What follows the script on its command line."""
        return () if self.point is None else self.point.command_line(parameters)

    @property
    def facts(self) -> ScriptFacts:
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        return ScriptFacts(name=self.name or self.entry, sha256=digest.hexdigest())

    def write_to(self, folder: Path) -> Path:
        """Lay the files out; returns the path of the entry."""
        for name, content in self.files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return folder / self.entry


def read_bundle(script_path: str, statement: str) -> ScriptBundle:
    """Read a ``.py`` file; or a folder or a zip, a project, with all its files but copies of the modules that jobs bring along.

    A project's ``MLproject`` names the script for the kind of ``statement``; without one it is called as in :data:`ENTRIES`.

    :raises ScriptNotFound: when there is nothing there, or the project has no such script.
    :raises InputError: when a project is larger than 64 MiB, its MLproject or zip cannot be read, or the script is no .py file.
    """
    if (builtin := get_builtin_name(script_path)) is not None:
        return _read_builtin(builtin, ENTRY_SCRIPTS[statement])
    place = Location.of(script_path)
    if not place.is_file():
        if not place.is_dir():
            raise ScriptNotFound(f"there is no script at {script_path}; check pythonScriptPath", path=script_path)
        return _project(_read_folder(place, script_path), script_path, statement)
    if place.name.endswith(".zip"):
        files = read_zip(place.read(), script_path, MAX_BYTES)
        return _project({name: files[name] for name in _carried(files)}, script_path, statement)
    if not place.name.endswith(".py"):
        raise InputError(
            f"pythonScriptPath {script_path} is no .py file; expected a Python script, or a project (folder or zip) with "
            f"{ENTRY_SCRIPTS[statement]}"
        )
    return ScriptBundle(place.name, {place.name: place.read()})


def _carried(names: Iterable[str]) -> list[str]:
    """The files of a project that travel."""
    return [name for name in names if _OTHERS.isdisjoint(name.split("/")) and name not in _COPIES]


def _read_folder(place: Location, script_path: str) -> dict[str, bytes]:
    sizes = place.list_files()
    names = _carried(sizes)
    size = sum(sizes[name] for name in names)
    if size > MAX_BYTES:
        raise InputError(
            f"the folder {script_path} holds {size >> 20} MiB; at most {MAX_BYTES >> 20} MiB travel with a job: "
            "keep data elsewhere and name it as fitParam.<i>.resource.<name>",
            path=script_path,
        )
    return {name: (place / name).read() for name in names}


def _project(files: Mapping[str, bytes], script_path: str, statement: str) -> ScriptBundle:
    """The script for the statement, with the whole project."""
    project = read_project(files[MLPROJECT], f"{script_path}/{MLPROJECT}") if MLPROJECT in files else Project({}, ())
    point, entry = project.points.get(ENTRY_POINTS[statement]), ENTRY_SCRIPTS[statement]
    if point is None and entry not in files:
        raise ScriptNotFound(_no_entry(files, project, script_path, statement), path=script_path)
    if point is not None and point.script not in files:
        raise ScriptNotFound(
            f"{script_path}/{MLPROJECT}: the command of {ENTRY_POINTS[statement]} runs {point.script}, which is not in the "
            "project; add it, or correct the command",
            path=script_path,
        )
    return ScriptBundle(entry if point is None else point.script, files, point, project.notes)


def _no_entry(files: Mapping[str, bytes], project: Project, script_path: str, statement: str) -> str:
    """What there is instead."""
    scripts = sorted(name for name in files if name.endswith(".py") and "/" not in name)
    found = f"its scripts are {', '.join(scripts[:10])}" if scripts else "there are no scripts in it"
    if MLPROJECT in files:
        found += f", and {MLPROJECT} has the entry points {', '.join(project.points)}"
    return (
        f"the project {script_path} has no {ENTRY_SCRIPTS[statement]}, which {statement} needs; {found}: add it, name it as "
        f"{ENTRY_POINTS[statement]} in {MLPROJECT}, or name the script itself"
    )


def _read_builtin(name: str, entry: str) -> ScriptBundle:
    """The scripts of a ready-made algorithm, out of this package, wherever it was installed or shipped to."""
    folder = resources.files(mlsql_runtime) / "builtin" / name
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(".py")} if folder.is_dir() else {}
    if entry not in files:
        raise ScriptNotFound(f"the built-in algorithm {name!r} has no {entry}; name a script of your own", path=name)
    return ScriptBundle(entry, files, name=to_builtin_path(name))


def check_syntax(bundle: ScriptBundle, script_path: str) -> None:
    """Compile the entry, without running it.

    :raises InputError: with file and line, and a hint when the script looks like Python 2.
    """
    source = bundle.files[bundle.entry]
    try:
        compile(source, script_path, "exec", dont_inherit=True)
    except ValueError as error:  # null bytes, before Python 3.11.4
        raise InputError(f"{script_path} is no Python source: {error}", path=script_path) from error
    except SyntaxError as error:
        hint = (
            "; this looks like Python 2, port it to Python 3"
            if "print" in str(error.msg) or b"except Exception," in source
            else ""
        )
        raise InputError(f"{script_path}:{error.lineno}: {error.msg}{hint}", path=script_path, line=error.lineno) from error


def used_helpers(bundle: ScriptBundle, module: str) -> set[str]:
    """Which names of a helper module the entry uses: ``mlsql.all_data``, ``from mlsql import all_data``; read, not run."""
    try:
        tree = ast.parse(bundle.files[bundle.entry])
    except (SyntaxError, ValueError):
        return set()  # for another interpreter, perhaps
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == module}
    imported = [node.names for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == module]
    return used | {alias.name for names in imported for alias in names}
