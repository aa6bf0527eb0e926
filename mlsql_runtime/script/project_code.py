"""Code of a script's project in a process that has other files: it finds the modules of its own project, and nobody else does.

A pickle of a script's code carries the sources of its project (:mod:`mlsql_runtime.script.code_pickle`). Two registered
functions in one Python worker may have different modules of one name, and neither may see the other's. So the modules of a
project are in ``sys.modules`` under names of their own, ``mlsql_project_<digest>.helpers``. An import statement calls the
``__import__`` in the builtins of its function; that of a project's code knows these names. Everything else of Python is
unchanged. ``importlib.import_module("helpers")`` is a call, not a statement, and does not find the project's modules.

Pickles in model stores name the functions whose names begin with ``restore_``: keep them, with their parameters.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any

from mlsql_runtime.errors import InterpreterError

PREFIX = "mlsql_project_"
_PROJECTS: dict[str, Project] = {}  # of this process, by the name of their package


class Project:
    """The modules of a project.

    :param folders: where the script's process looked for modules, in order, relative to the project's folder: ``""``, ``src/``.
    :param sources: the content of each ``.py`` file by its path in the project.
    """

    def __init__(self, folders: Sequence[str], sources: Mapping[str, bytes]) -> None:
        self.folders, self.sources = tuple(folders), dict(sources)
        digest = hashlib.sha256(repr(self.folders).encode())
        for path, source in sorted(self.sources.items()):
            digest.update(f"{path}\0{len(source)}\0".encode())
            digest.update(source)
        self.package = PREFIX + digest.hexdigest()[:16]
        self.builtins = {**vars(builtins), "__import__": self._import}
        self._is_own: dict[str, bool] = {}

    def __reduce__(self) -> Any:
        return restore_project, (_python_here(), self.folders, self.sources)

    def find_spec(self, full_name: str) -> ModuleSpec | None:
        """Return where a module of this project comes from: a package, a module, or a folder without ``__init__.py``."""
        path = full_name.partition(".")[2].replace(".", "/")
        if not path:
            return ModuleSpec(full_name, _Loader(self, b""), is_package=True)
        for file, is_package in self._candidates(path):
            if file in self.sources:
                spec = ModuleSpec(
                    full_name, _Loader(self, self.sources[file]), origin=f"{self.package}/{file}", is_package=is_package
                )
                spec.has_location = True
                return spec
        return ModuleSpec(full_name, _Loader(self, b""), is_package=True) if self._has_folder(path) else None

    def _candidates(self, path: str) -> Iterator[tuple[str, bool]]:
        for folder in self.folders:
            yield f"{folder}{path}/__init__.py", True
            yield f"{folder}{path}.py", False

    def _has_folder(self, path: str) -> bool:
        return any(file.startswith(f"{folder}{path}/") for folder in self.folders for file in self.sources)

    def _has_module(self, name: str) -> bool:
        """Return whether an import of this top-level name means the project. Python prefers any package to a mere folder."""
        known = self._is_own.get(name)
        if known is None:
            known = any(file in self.sources for file, _ in self._candidates(name)) or (
                self._has_folder(name) and not _is_importable(name)
            )
            self._is_own[name] = known
        return known

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Do what the builtin ``__import__`` does."""
        package = (globals or {}).get("__package__")
        absolute = importlib.util.resolve_name("." * level + name, package) if level and package else name
        top = absolute.partition(".")[0]
        if (level and not package) or not self._has_module(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = f"{self.package}.{absolute}"
        if fromlist:
            return builtins.__import__(module, None, None, fromlist)
        importlib.import_module(module)
        return sys.modules[f"{self.package}.{top}"]


class _Loader(importlib.abc.Loader):
    def __init__(self, project: Project, source: bytes) -> None:
        self._project, self._source = project, source

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._project.builtins
        name = (module.__spec__ and module.__spec__.origin) or module.__name__
        exec(compile(self._source, name, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what an import does

    def get_source(self, full_name: str) -> str:
        """Return the text of the module, which tracebacks show."""
        return importlib.util.decode_source(self._source)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        project = _PROJECTS.get(fullname.partition(".")[0])
        return project.find_spec(fullname) if project else None


def _is_importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return name in sys.modules


def _python_here() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _builtins(function: Any) -> dict[str, Any]:  # not a FunctionType: between two runs mypy forgets attributes of this name
    found: dict[str, Any] = function.__builtins__
    return found


def find_project(function: FunctionType) -> Project | None:
    """Return the project from which a restored function came; None for any other function."""
    importer = _builtins(function).get("__import__")
    project = getattr(importer, "__self__", None)
    return project if isinstance(project, Project) else None


def restore_project(python: str, folders: Sequence[str], sources: Mapping[str, bytes]) -> Project:
    """Make the modules of a project importable by its own code.

    :param python: the version of Python whose byte code follows in the pickle: ``3.11``.
    :raises InterpreterError: under another minor version of Python, which does not understand that byte code.
    """
    here = _python_here()
    if python != here:
        raise InterpreterError(
            f"the model contains code of its script, saved under Python {python}, and is loaded under Python {here}; "
            f"load it with Python {python}, or train it again with Python {here}",
            expected=python,
            found=here,
        )
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    project = Project(folders, sources)
    return _PROJECTS.setdefault(project.package, project)


def restore_value(project: Project, value: Any) -> Any:
    """Return the value. Its project comes first in the pickle, so that nothing is restored under another Python."""
    return value


def restore_function(project: Project, make: Callable[..., FunctionType], arguments: Sequence[Any]) -> FunctionType:
    """Return ``make(*arguments)``, a function whose import statements find the modules of the project."""
    made = make(*arguments)
    made.__globals__["__builtins__"] = project.builtins
    return FunctionType(made.__code__, made.__globals__, made.__name__, made.__defaults__, made.__closure__)


def restore_state(function: FunctionType, state: tuple[Callable[[FunctionType, Any], object], Any]) -> None:
    """Set the state of a restored function, given the function that does. Functions defined inside it are the project's, too."""
    set_state, its_state = state
    set_state(function, its_state)
    function.__globals__["__builtins__"] = _builtins(function)
