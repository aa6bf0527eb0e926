"""The source code of a script, which is read but not run: its syntax, its calls of the helper modules, its imports."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

from mlsql_runtime import HELPERS
from mlsql_runtime.errors import InputError
from mlsql_runtime.script.bundle import ScriptBundle

_FRAME_READERS = frozenset({"all_frame", "get_validate_frame", "read_frames"})
_READERS = _FRAME_READERS | {
    *("all_data", "get_validate_data", "read_arrow", "read_batches", "read_data", "sklearn_all_data", "sklearn_batch_data"),
}
_SAVERS = {"keras_save_model": "keras", "tf_save_model": "tensorflow"}


def check_syntax(bundle: ScriptBundle, script_path: str) -> None:
    """Compile the entry without running it.

    :raises InputError: with file and line, and a hint when the script looks like Python 2.
    """
    source = bundle.files[bundle.entry]
    try:
        compile(source, script_path, "exec", dont_inherit=True)
    except (ValueError, MemoryError, RecursionError) as error:  # null bytes, before Python 3.11.4; deep nesting
        reason = str(error) or "it is nested too deeply"
        raise InputError(f"{script_path} is not Python source: {reason}", path=script_path) from error
    except SyntaxError as error:
        hint = (
            "; this looks like Python 2, port it to Python 3"
            if "print" in str(error.msg) or b"except Exception," in source
            else ""
        )
        raise InputError(f"{script_path}:{error.lineno}: {error.msg}{hint}", path=script_path, line=error.lineno) from error


# Modules of MLSQL that are not among the helpers, and what to do instead.
_ABSENT = {
    "msg_queue": "mlsql.read_data() needs none",
    "mlsql_tf": "it is made for TensorFlow 1; build layers with keras.layers, or copy the file into the project",
}


def check_imports(bundle: ScriptBundle, script_path: str) -> None:
    """Check that the script imports no module that only MLSQL had.

    :raises InputError: with what to do instead.
    """
    for module in _imported(bundle).keys() & _ABSENT.keys():
        raise InputError(f"{script_path} imports {module}, a module of MLSQL that is not here; {_ABSENT[module]}")


def used_helpers(bundle: ScriptBundle, module: str) -> set[str]:
    """Return the names of a helper module that the entry uses, as in ``mlsql.all_data`` or ``from mlsql import all_data``."""
    tree = _parsed(bundle.files[bundle.entry])
    if tree is None:
        return set()
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == module}
    imported = [node.names for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == module]
    return used | {alias.name for names in imported for alias in names}


def required_modules(bundle: ScriptBundle, *, has_vectors: bool = False, is_kafka: bool = False) -> dict[str, str]:
    """Return the top-level modules that the script's interpreter must have, and for each what needs it.

    These are the modules that are imported when the script starts, and those behind the functions of the helper modules that it
    names. Modules that are imported in functions, under ``if`` or in ``try`` may be missing. If a script changes ``sys.path``,
    only those behind the helper modules are known.

    :param has_vectors: whether the script's table has vectors.
    :param is_kafka: whether the table comes through Kafka.
    """
    return {**_behind_helpers(bundle, has_vectors, is_kafka), **_imported(bundle)}


def _behind_helpers(bundle: ScriptBundle, has_vectors: bool, is_kafka: bool) -> dict[str, str]:
    used = used_helpers(bundle, "mlsql")
    found = {}
    if readers := sorted(used & _READERS):
        found = dict.fromkeys(("numpy", "pyarrow"), f"mlsql.{readers[0]} needs")
    if frames := sorted(used & _FRAME_READERS):
        found["pandas"] = f"mlsql.{frames[0]} needs"
    if is_kafka and readers:
        found["kafka"] = "mlsql's readers need for data through Kafka"
    if has_vectors and "read_data" in used:
        found["pyspark"] = "mlsql.read_data needs for vectors (mlsql.read_batches and mlsql.all_data give arrays, without it)"
    for function in sorted(used_helpers(bundle, "mlsql_model") & _SAVERS.keys()):
        found[_SAVERS[function]] = f"mlsql_model.{function} needs"
    for function in sorted(used_helpers(bundle, "python_fun") & {"udf", "batch_udf"}):
        found["pyspark"] = f"python_fun.{function} needs"
    return found


def _imported(bundle: ScriptBundle) -> dict[str, str]:
    """Return the modules that the entry imports, and in turn the project's modules that it imports.

    Built-in algorithms import their libraries only where they are used: there every file counts.
    """
    own = {name for path in bundle.files for name in _module_names(path)}
    find_files = _file_finder(bundle.files)
    found: dict[str, str] = {}
    waiting = [bundle.entry] if bundle.name is None else [path for path in bundle.files if path.endswith(".py")]
    seen = set(waiting)
    for path in waiting:
        tree = _parsed(bundle.files[path])
        if tree is None:
            continue
        if _changes_path(tree):
            return {}
        for module in _top_level(tree.body):
            name = module.partition(".")[0]
            if name in own or name in HELPERS:
                new = [each for each in find_files(module, (bundle.entry, path)) if each not in seen]
                waiting += new
                seen.update(new)
            else:
                found.setdefault(name, f"{path} imports")
    return found


def _parsed(source: bytes) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None  # for another interpreter, perhaps


def _module_names(path: str) -> Iterator[str]:
    """Yield the names that import this file of a project: its own, and those of the folders above."""
    if path.endswith((".py", ".so", ".pyd")):
        place = PurePosixPath(path)
        yield place.name.partition(".")[0]
        yield from place.parts[:-1]


def _file_finder(files: Iterable[str]) -> Callable[[str, Iterable[str]], list[str]]:
    """Return a function that finds the project's files which ``import a.b`` runs, in the folders beside other files first.

    Python finds modules elsewhere only if the script changes its path.
    """
    known = set(files)
    by_end: dict[str, list[str]] = {}  # the last part of the path, two of __init__.py
    for path in known:
        by_end.setdefault(_end_of(path), []).append(path)

    def find(module: str, beside: Iterable[str]) -> list[str]:
        names = module.split(".")
        begins = ["/".join(names[:count]) for count in range(1, len(names) + 1)]
        ends = [f"{begin}{end}" for begin in begins for end in (".py", "/__init__.py")]
        for folder in (path.rpartition("/")[0] for path in beside):
            if found := [path for end in ends if (path := f"{folder}/{end}" if folder else end) in known]:
                return found
        return sorted(path for end in ends for path in by_end.get(_end_of(end), ()) if f"/{path}".endswith(f"/{end}"))

    return find


def _end_of(path: str) -> str:
    parts = path.split("/")
    return "/".join(parts[-2:]) if parts[-1] == "__init__.py" else parts[-1]


def _top_level(body: Iterable[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
        elif isinstance(node, ast.With) and not any(_suppresses(item.context_expr) for item in node.items):
            yield from _top_level(node.body)


def _suppresses(expression: ast.expr) -> bool:
    """Return whether it is ``contextlib.suppress(…)``, which is ``try`` in another form."""
    called = expression.func if isinstance(expression, ast.Call) else expression
    return getattr(called, "attr", getattr(called, "id", None)) == "suppress"


def _changes_path(tree: ast.Module) -> bool:
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return any((getattr(node.value, "id", None), node.attr) in (("sys", "path"), ("site", "addsitedir")) for node in attributes)
