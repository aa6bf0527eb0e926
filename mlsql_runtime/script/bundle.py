"""A user's script with its project, in memory: it travels with Spark's tasks, and every group writes its own copy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import mlsql_runtime
from mlsql_runtime import HELPERS
from mlsql_runtime.errors import InputError, ScriptNotFound
from mlsql_runtime.plan import NO_ACCESS, StorageAccess, get_builtin_name, to_builtin_path
from mlsql_runtime.script.project import ENTRY_POINTS, MLPROJECT, EntryPoint, Project, read_project
from mlsql_runtime.storage.location import Location
from mlsql_runtime.storage.relative_paths import check_plain
from mlsql_runtime.storage.zip_files import read_zip
from mlsql_runtime.store.manifest import ScriptFacts
from mlsql_runtime.store.project_files import MAX_BYTES

_COPIES = tuple(f"{name}.py" for name in HELPERS)  # of MLSQL's modules in old projects; scripts are to import ours
# The scripts of a project without MLproject, by statement.
ENTRY_SCRIPTS = {"train": "train.py", "register": "predict.py", "predict": "batch_predict.py"}
_OTHERS = frozenset(("__pycache__", ".git", ".DS_Store"))  # never part of a bundle


@dataclass(frozen=True)
class ScriptBundle:
    """A script: ``files`` maps relative paths to contents, and ``entry`` is the one to run.

    ``point`` is its entry point in an MLproject, ``notes`` are remarks for its author. ``name`` is the name of a built-in one.
    """

    entry: str
    files: Mapping[str, bytes]
    point: EntryPoint | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    name: str | None = None

    def fill(self, given: Mapping[str, str], where: str) -> dict[str, str]:
        """Return the given parameters, with the MLproject's defaults for others.

        :param where: the name of the parameters in errors, such as ``fitParam.0``.
        :raises InputError: when a parameter is missing, or is not of its type.
        """
        return dict(given) if self.point is None else self.point.fill(given, where)

    def command_line(self, parameters: Mapping[str, str]) -> tuple[str, ...]:
        """Return the arguments of the script."""
        return () if self.point is None else self.point.command_line(parameters)

    @property
    def facts(self) -> ScriptFacts:
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        return ScriptFacts(name=self.name or self.entry, sha256=digest.hexdigest())

    def write_to(self, folder: Path) -> Path:
        """Write the files, and return the path of the entry."""
        for name, content in self.files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            if content.startswith((b"#!", b"\x7fELF")):
                place.chmod(0o755)
        return folder / self.entry


def read_bundle(script_path: str, statement: str, access: StorageAccess = NO_ACCESS) -> ScriptBundle:
    """Read a ``.py`` file, or a project: all files of a folder or a zip, without copies of MLSQL's modules.

    :param statement: ``train``, ``register`` or ``predict``. The project's ``MLproject`` names the script of each; without an
        MLproject it has the name in :data:`ENTRY_SCRIPTS`.
    :param access: connections to storage.
    :raises ScriptNotFound: when the path does not exist, or the project has no such script.
    :raises InputError: when a project is larger than 64 MiB, its MLproject or zip cannot be read, or the file is not a .py file.
    """
    if (builtin := get_builtin_name(script_path)) is not None:
        return _read_builtin(builtin, ENTRY_SCRIPTS[statement])
    place = Location.of(script_path, access)
    if not place.is_file():
        if not place.is_dir():
            raise ScriptNotFound(f"there is no script at {script_path}; check pythonScriptPath", path=script_path)
        return bundle_project(_read_folder(place, script_path), script_path, statement)
    if place.name.endswith(".zip"):
        files = read_zip(place.read(), script_path, MAX_BYTES)
        return bundle_project({name: files[name] for name in _select_files(files)}, script_path, statement)
    if not place.name.endswith(".py"):
        raise InputError(
            f"pythonScriptPath {script_path} is not a .py file; expected a Python script, or a project (folder or zip) with "
            f"{ENTRY_SCRIPTS[statement]}"
        )
    return ScriptBundle(place.name, {place.name: place.read()})


def _select_files(names: Iterable[str]) -> list[str]:
    """Return the files of a project that are part of a bundle."""
    return [name for name in names if _OTHERS.isdisjoint(name.split("/")) and name not in _COPIES]


def _read_folder(place: Location, script_path: str) -> dict[str, bytes]:
    sizes = place.list_files()
    names = _select_files(sizes)
    size = sum(sizes[name] for name in names)
    if size > MAX_BYTES:
        raise InputError(
            f"the folder {script_path} holds {size >> 20} MiB; at most {MAX_BYTES >> 20} MiB travel with a job: "
            "keep data elsewhere and name it as fitParam.<i>.resource.<name>",
            path=script_path,
        )
    return {check_plain(name, script_path): (place / name).read() for name in names}


def bundle_project(files: Mapping[str, bytes], script_path: str, statement: str) -> ScriptBundle:
    """Return the bundle of a project, with the script of the statement as its entry.

    :param script_path: the path of the project, for errors.
    :raises ScriptNotFound: when the project has no such script.
    """
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
    """Return the error message for a project that lacks the script of the statement."""
    scripts = sorted(name for name in files if name.endswith(".py") and "/" not in name)
    found = f"its scripts are {', '.join(scripts[:10])}" if scripts else "there are no scripts in it"
    if MLPROJECT in files:
        found += f", and {MLPROJECT} has the entry points {', '.join(project.points)}"
    return (
        f"the project {script_path} has no {ENTRY_SCRIPTS[statement]}, which {statement} needs; {found}: add it, name it as "
        f"{ENTRY_POINTS[statement]} in {MLPROJECT}, or name the script itself as pythonScriptPath"
    )


def _read_builtin(name: str, entry: str) -> ScriptBundle:
    """Read the scripts of a built-in algorithm from this package, which may be in a zip."""
    folder = resources.files(mlsql_runtime) / "builtin" / name
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(".py")} if folder.is_dir() else {}
    if entry not in files:
        raise ScriptNotFound(f"the built-in algorithm {name!r} has no {entry}; set pythonScriptPath to a script", path=name)
    return ScriptBundle(entry, files, name=to_builtin_path(name))
