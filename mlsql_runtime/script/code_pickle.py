"""Pickles that carry code of the script: what a script defines is not importable where its model or function is loaded.

A model of library classes is an ordinary pickle. One that refers to a class or function of the script or of a module in its
project is written with cloudpickle, which saves these by value: their byte code, and the global variables that they use, with the
values that they have now. The sources of the project go along for modules that functions import when they are called
(:mod:`mlsql_runtime.script.project_code`).

There are three copies of cloudpickle: its own package, and those inside PySpark and inside older versions of joblib. A pickle
names the one that wrote it; where another one is installed, :func:`load` takes that one.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import IO, Any

from mlsql_runtime.script.object_paths import find_path
from mlsql_runtime.script.own_code import OwnCode
from mlsql_runtime.script.project_code import Project, find_project, restore_function, restore_state, restore_value

PROTOCOL = 5  # writes large arrays from where they are, without a copy in memory
CLOUDPICKLES = ("pyspark.cloudpickle", "cloudpickle", "joblib.externals.cloudpickle")
_REFUSED = (pickle.PicklingError, AttributeError, TypeError)  # how pickle refuses an object
_NOT_ABOUT_OBJECTS = (OSError, MemoryError)


# -- saving


class _OwnCodeFound(Exception):
    """A pickle refers to code of the script."""


class _ReferencePickler(pickle.Pickler):
    """A pickler that stops at code of the script. Classes and functions are pickled as their names: they come here once each."""

    def __init__(self, file: IO[bytes], own: OwnCode) -> None:
        super().__init__(file, protocol=PROTOCOL)
        self._own = own

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, FunctionType, BuiltinFunctionType)) and self._own.has(obj):
            raise _OwnCodeFound
        return NotImplemented


def dump(value: Any, path: str, call: str, project_folder: str | None) -> None:
    """Pickle a model to a file. It carries code of the script if it refers to any.

    :param call: the function that the script calls, for errors.
    :param project_folder: the folder of the script's project; None for the script alone.
    :raises pickle.PicklingError: naming the object that cannot be pickled, and where it is in the model. There is no file then.
    """
    own = OwnCode.of_project(project_folder)
    try:
        with open(path, "wb") as file:
            try:
                _ReferencePickler(file, own).dump(value)
            except (_OwnCodeFound, *_REFUSED):
                file.seek(0)
                file.truncate()
                dump_with_code({"model": value}, value, file, call, own)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        raise


def dump_with_code(
    names: Mapping[str, object], value: Any, file: IO[bytes], call: str, own: OwnCode, cloudpickle: str | None = None
) -> None:
    """Pickle a value with cloudpickle, code of the script included.

    :param names: the names of the value's parts for errors.
    :param cloudpickle: the copy of cloudpickle; the first of :data:`CLOUDPICKLES` that is installed, by default.
    :raises pickle.PicklingError: naming the object that cannot be pickled, and where it is in the value.
    """
    library = _import_cloudpickle(call) if cloudpickle is None else importlib.import_module(cloudpickle)
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and module.__name__ == name and name != "__main__" and own.has(module):
            library.register_pickle_by_value(module)
    project = own.read_project()
    pickler = _make_pickler(library, file, own, project)
    try:
        pickler.dump(_WithProject(project, value))
    except _NOT_ABOUT_OBJECTS:
        raise
    except Exception as error:
        place = find_path(names, pickler.last, own.has) or f"an object inside {' or '.join(names)}"
        kind = type(pickler.last)
        raise pickle.PicklingError(
            f"{call}: {place} cannot be saved, a {kind.__module__}.{kind.__qualname__} ({type(error).__name__}: {error}); "
            "keep what it is made from, such as a path or a list, and make it where it is used"
        ) from error


@dataclass(frozen=True)
class _WithProject:
    """A value that is unpickled after its project."""

    project: Project
    value: Any

    def __reduce__(self) -> Any:
        return restore_value, (self.project, self.value)


def _import_cloudpickle(call: str) -> Any:
    for name in CLOUDPICKLES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(
        f"{call}: the model refers to code of the script, which cloudpickle saves, and {sys.executable} does not have it; "
        "there, pip install cloudpickle",
        name="cloudpickle",
    )


def _make_pickler(library: Any, file: IO[bytes], own: OwnCode, project: Project) -> Any:
    class CodePickler(library.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        """A pickler of code. ``last`` is the object that it began last, at which it stops when it cannot go on."""

        last: Any = None

        def reducer_override(self, obj: Any) -> Any:
            self.last = obj
            is_code = isinstance(obj, (type, FunctionType, BuiltinFunctionType))
            if is_code and own.has(obj) and (compiled := own.compiled_file(obj)):
                raise pickle.PicklingError(f"{compiled} is compiled; install it as a package where the model is loaded")
            reduced = super().reducer_override(obj)
            if not isinstance(obj, FunctionType) or reduced is NotImplemented:
                return reduced
            its_project = find_project(obj) or (project if own.has(obj) else None)
            if its_project is None or not its_project.sources:
                return reduced
            make, arguments, state, *_, set_state = reduced
            return restore_function, (its_project, make, arguments), (set_state, state), None, None, restore_state

    return CodePickler(file, protocol=PROTOCOL)


# -- loading


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(_installed_module(module), name)


def _installed_module(module: str) -> str:
    """Return the name that a module has here: one of cloudpickle may be in another copy, one of NumPy 2 in NumPy 1."""
    if module.startswith("numpy._core.") and metadata.version("numpy").startswith("1."):
        return module.replace("_core", "core", 1)
    for copy in CLOUDPICKLES:
        if module.startswith(f"{copy}."):
            for other in (copy, *CLOUDPICKLES):
                try:
                    importlib.import_module(other)
                except ModuleNotFoundError:
                    continue
                return other + module[len(copy) :]
    return module


def load(path: str) -> Any:
    """Unpickle a model."""
    with open(path, "rb") as file:
        return _Unpickler(file).load()


def loads(pickled: bytes) -> Any:
    """Unpickle a function."""
    return _Unpickler(io.BytesIO(pickled)).load()
