"""Which classes, functions and modules of a process are the script's own, and the sources of its project."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from mlsql_runtime.script.project_code import PREFIX, Project


@dataclass(frozen=True)
class OwnCode:
    """What is the script's own in this process: ``__main__``, and the modules whose files are in its project.

    :param folders: the project's folder, in all its spellings; empty outside of a job.
    :param modules: the names of these modules.
    """

    folders: tuple[str, ...]
    modules: frozenset[str]

    @classmethod
    def of_project(cls, folder: str | None) -> OwnCode:
        """Return that of a project.

        :param folder: the project's folder; None for the script alone.
        """
        folders = () if folder is None else tuple({f"{os.path.abspath(folder)}{os.sep}", f"{os.path.realpath(folder)}{os.sep}"})
        loaded = {name for name, file in _module_files() if file.startswith(folders)} if folders else set()
        return cls(folders, frozenset({"__main__", *loaded}))

    def has(self, obj: object) -> bool:
        """Return whether a class, function or module is the script's own, or that of a script whose model this process loaded."""
        name = obj.__name__ if isinstance(obj, ModuleType) else getattr(obj, "__module__", None)
        return isinstance(name, str) and (name in self.modules or name.startswith(PREFIX))

    def compiled_file(self, obj: object) -> str | None:
        """Return the file of a compiled module that has this class or function; None for one that is Python."""
        file = _file_of(sys.modules.get(getattr(obj, "__module__", None) or ""))
        return file if file is not None and not file.endswith((".py", ".pyc")) else None

    def read_project(self) -> Project:
        """Return the project with the sources of its modules; without any, if the script is its only one."""
        if not self.folders:
            return Project((), {})
        root = Path(self.folders[0])
        sources = {path.relative_to(root).as_posix(): path.read_bytes() for path in _list_sources(root)}
        script = os.path.abspath(_file_of(sys.modules.get("__main__")) or "")
        if all(script in [folder + path for folder in self.folders] for path in sources):
            return Project((), {})
        return Project(tuple(self._import_folders()), sources)

    def _import_folders(self) -> Iterator[str]:
        """Yield the folders of the project in which this process looks for modules, relative to its own: ``""``, ``src/``."""
        found = set()
        for entry in sys.path:
            place = os.path.join(os.path.abspath(entry), "")
            for folder in self.folders:
                if place.startswith(folder) and (relative := place[len(folder) :].replace(os.sep, "/")) not in found:
                    found.add(relative)
                    yield relative


def _module_files() -> Iterator[tuple[str, str]]:
    for name, module in list(sys.modules.items()):
        if (file := _file_of(module)) is not None:
            yield name, os.path.abspath(file)


def _file_of(module: object) -> str | None:
    try:
        file = getattr(module, "__file__", None)
    except Exception:  # a module may be any object, and raise any error
        return None
    return file if isinstance(file, str) else None


def _list_sources(root: Path) -> Iterator[Path]:
    """Yield the Python files of a project, without hidden folders and environments in it."""
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [
            name
            for name in subfolders
            if not name.startswith(".") and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        ]
        yield from (Path(folder, name) for name in files if name.endswith(".py"))
