"""A user's script as bytes, so that it travels with the Spark tasks and every group gets its own copy."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import mlsql_runtime
from mlsql_runtime import HELPERS
from mlsql_runtime.errors import InputError, ScriptNotFound
from mlsql_runtime.plan import builtin_name, builtin_script
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.manifest import ScriptFacts

MAX_BYTES = 64 << 20
_COPIES = tuple(f"{name}.py" for name in HELPERS)  # MLSQL's modules, as projects carried them along: ours are meant
ENTRIES = {"train": "train.py", "register": "predict.py", "predict": "batch_predict.py"}  # of a folder, by statement


@dataclass(frozen=True)
class ScriptBundle:
    """``files`` maps relative paths to contents; ``entry`` is the one to run; ``name`` is what people call a script that has no
    file of theirs.
    """

    entry: str
    files: Mapping[str, bytes]
    name: str | None = None

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
    """Read a ``.py`` file, or a folder that has the entry for the kind of ``statement`` in it, with all its files but copies of
    the modules that jobs bring along.

    :raises ScriptNotFound: when there is nothing there, or the folder has no such entry.
    :raises InputError: when a folder is larger than 64 MiB, or the script is no Python file.
    """
    if (builtin := builtin_name(script_path)) is not None:
        return _read_builtin(builtin, ENTRIES[statement])
    place, entry = Location.of(script_path), ENTRIES[statement]
    if place.is_file():
        if not place.name.endswith(".py"):
            raise InputError(f"pythonScriptPath {script_path} is no .py file; expected a Python script or a folder with {entry}")
        return ScriptBundle(place.name, {place.name: place.read()})
    if not place.is_dir():
        raise ScriptNotFound(f"there is no script at {script_path}; check pythonScriptPath", path=script_path)
    sizes = {name: size for name, size in place.files().items() if "__pycache__/" not in name and name not in _COPIES}
    if entry not in sizes:
        raise ScriptNotFound(f"the folder {script_path} has no {entry}; add it, or name the script itself", path=script_path)
    if sum(sizes.values()) > MAX_BYTES:
        raise InputError(
            f"the folder {script_path} holds {sum(sizes.values()) >> 20} MiB; at most {MAX_BYTES >> 20} MiB travel with a job: "
            "keep data elsewhere and name it as fitParam.<i>.resource.<name>",
            path=script_path,
        )
    return ScriptBundle(entry, {name: (place / name).read() for name in sizes})


def _read_builtin(name: str, entry: str) -> ScriptBundle:
    """The scripts of a ready-made algorithm, out of this package, wherever it was installed or shipped to."""
    folder = resources.files(mlsql_runtime) / "builtin" / name
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(".py")} if folder.is_dir() else {}
    if entry not in files:
        raise ScriptNotFound(f"the built-in algorithm {name!r} has no {entry}; name a script of your own", path=name)
    return ScriptBundle(entry, files, builtin_script(name))


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


def helper_names(bundle: ScriptBundle, module: str) -> set[str]:
    """Which names of a helper module the entry uses: ``mlsql.all_data``, ``from mlsql import all_data``; read, not run."""
    try:
        tree = ast.parse(bundle.files[bundle.entry])
    except (SyntaxError, ValueError):
        return set()  # for another interpreter, perhaps
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == module}
    imported = [node.names for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == module]
    return used | {alias.name for names in imported for alias in names}
