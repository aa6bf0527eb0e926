"""Which packages a script needs, read from its source, which is not run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from mlsql_runtime import HELPERS
from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.bundle import ScriptBundle, used_helpers
from mlsql_runtime.script.interpreter import InterpreterReport

_READERS = frozenset(("read_batches", "all_data", "get_validate_data", "sklearn_all_data", "sklearn_batch_data"))
_CALLS = {  # module, and the functions of mlsql that need it
    "numpy": _READERS | {"read_data"},
    "pyarrow": _READERS | {"read_data"},
}
_SAVERS = {"keras_save_model": "keras", "tf_save_model": "tensorflow"}
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "cv2": "opencv-python", "PIL": "pillow", "yaml": "PyYAML", "kafka": "kafka-python"}


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What the script's data are like: whether there are vectors among the columns, and whether they come through Kafka."""

    has_vectors: bool = False
    is_kafka: bool = False


NO_FEED = Feed()


def required_modules(bundle: ScriptBundle, feed: Feed) -> dict[str, str]:
    """Top-level modules that the script's interpreter must have, and why: those that are imported when the script starts, and
    those behind the functions of ``mlsql`` that it names.

    What is imported in functions, under ``if`` or in ``try`` may well be missing. A script that changes ``sys.path`` itself is
    asked for nothing but the latter.
    """
    return {**_of_helpers(bundle, feed), **_imported(bundle)}


def describe_missing(
    found: InterpreterReport, modules: Mapping[str, str], host: str, python: PythonEnv, is_function: bool = False
) -> str:
    """What to tell about the missing ones of ``modules``, which say who needs them.

    :param is_function: the script makes a function, which runs in the executors' own Python.
    """
    told = "; ".join(f"{_called(module)}, which {modules[module]}" for module in found.missing)
    names = " ".join(_DISTRIBUTIONS.get(module, module) for module in found.missing)
    if is_function:
        mend = f"install {names} there, or set spark.pyspark.python to an interpreter that has them"
    elif python.requirements is not None:
        mend = f"add {names} to requirements"
    elif python.is_unpacked:
        mend = f"install {names} into the environment, and pack it anew"
    else:
        mend = f"install {names} there, or bring them with requirements, archives or pythonPath"
    return f"{found.path} on {host} lacks {told}; {mend}"


def _called(module: str) -> str:
    name = _DISTRIBUTIONS.get(module, module)
    return module if name == module else f"{module} (package {name})"


def _of_helpers(bundle: ScriptBundle, feed: Feed) -> Mapping[str, str]:
    used = used_helpers(bundle, "mlsql")
    found = {}
    for module, functions in _CALLS.items():
        if called := sorted(used & functions):
            found[module] = f"mlsql.{called[0]} needs"
    if feed.is_kafka and used & (_READERS | {"read_data"}):
        found["kafka"] = "mlsql's readers need for data through Kafka"
    if feed.has_vectors and "read_data" in used:
        found["pyspark"] = "mlsql.read_data needs for vectors (mlsql.read_batches and mlsql.all_data give arrays, without it)"
    for function in sorted(used_helpers(bundle, "mlsql_model") & _SAVERS.keys()):
        found[_SAVERS[function]] = f"mlsql_model.{function} needs"
    for function in sorted(used_helpers(bundle, "python_fun") & {"udf", "batch_udf"}):
        found["pyspark"] = f"python_fun.{function} needs"
    return found


def _imported(bundle: ScriptBundle) -> dict[str, str]:
    """Of the entry, and of the project's modules that it imports in turn."""
    own = {name: path for path in bundle.files for name in _module_names(path)}
    found: dict[str, str] = {}
    waiting, seen = [bundle.entry], {bundle.entry}
    for path in waiting:
        tree = _parsed(bundle.files[path])
        if tree is None:
            continue
        if _changes_path(tree):
            return {}
        for module in _top_level(tree.body):
            name = module.partition(".")[0]
            if name in own or name in HELPERS:
                waiting += [each for each in _paths(module, bundle.files, (bundle.entry, path)) if each not in seen]
                seen.update(waiting)
            else:
                found.setdefault(name, f"{path} imports")
    return found


def _parsed(source: bytes) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None  # for another interpreter, perhaps


def _module_names(path: str) -> Iterator[str]:
    """What may be imported of the project by this file: its own name, and those of the folders above."""
    if path.endswith((".py", ".so", ".pyd")):
        place = PurePosixPath(path)
        yield place.name.partition(".")[0]
        yield from place.parts[:-1]


def _paths(module: str, files: Iterable[str], beside: Iterable[str]) -> list[str]:
    """The project's files that importing ``a.b`` runs.

    :param beside: files in whose folders Python looks first; elsewhere it finds modules only if the script sees to it.
    """
    names = module.split(".")
    begins = ["/".join(names[:count]) for count in range(1, len(names) + 1)]
    ends = tuple(f"/{begin}{end}" for begin in begins for end in (".py", "/__init__.py"))
    for folder in (PurePosixPath(path).parent for path in beside):
        found = [path for path in files if any(f"/{path}" == f"/{folder / end[1:]}" for end in ends)]
        if found:
            return found
    return [path for path in files if f"/{path}".endswith(ends)]


def _top_level(body: Iterable[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
        elif isinstance(node, ast.With) and not any(_suppresses(item.context_expr) for item in node.items):
            yield from _top_level(node.body)


def _suppresses(expression: ast.expr) -> bool:
    """``contextlib.suppress(…)``, which is ``try`` in another form."""
    called = expression.func if isinstance(expression, ast.Call) else expression
    return getattr(called, "attr", getattr(called, "id", None)) == "suppress"


def _changes_path(tree: ast.Module) -> bool:
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return any((getattr(node.value, "id", None), node.attr) in (("sys", "path"), ("site", "addsitedir")) for node in attributes)
