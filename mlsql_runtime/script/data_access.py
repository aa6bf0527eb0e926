"""How a training script gets at its table, as far as its text tells. The text is read, never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlsql_runtime.script.bundle import ScriptBundle

MATRICES = frozenset({"all_data", "get_validate_data", "read_batches", "sklearn_all_data", "sklearn_batch_data"})
ROWS = "read_data"
_READS = MATRICES | {ROWS}
_HARMLESS = _READS | {"fit_param", "get_param", "progress", "report", "seed", "sklearn_configure_params"}
_PATHS, _HARMLESS_PATHS = "internal_system_param", ("algIndex", "resource", "tempModelLocalPath")
_COMPILED = (".pyc", ".pyd", ".so", ".zip", ".egg", ".whl")
_ANY_CODE = {"__import__", "compile", "eval", "exec"}  # built-in functions
_ANY_MODULE = {"builtins", "importlib", "mlsql_runtime", "runpy"}
# What somebody writes who gets at the files, or at the module, by way of a text.
_TELLING = re.compile(r"tempDataLocalPath|internal_system_param|MLSQL_SCRIPT_INPUT|\.\./data|^mlsql$|\b(import|from)\s+mlsql\b")


@dataclass(frozen=True)
class Usage:
    """``reads`` are the functions of ``mlsql`` that bring the table; ``doubt`` says why that may not be all."""

    reads: frozenset[str]
    doubt: str | None


def usage_of(bundle: ScriptBundle) -> Usage:
    """Of all files of a bundle together. Where the text does not prove that the files are left alone, there is doubt."""
    reads: set[str] = set()
    for name, content in sorted(bundle.files.items()):
        if name.endswith(_COMPILED):
            return Usage(frozenset(), f"what {name} does cannot be read")
        if not name.endswith(".py"):
            continue
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError):  # for another interpreter, perhaps
            return Usage(frozenset(), f"{name} cannot be parsed")
        doubt = next(_doubts(tree), None)
        if doubt is not None:
            return Usage(frozenset(), f"{name} {doubt}")
        reads |= _names(tree) & _READS
    return Usage(frozenset(reads), None if reads else f"{bundle.entry} reads the table with no function of mlsql")


def _names(tree: ast.AST) -> set[str]:
    """What is used of ``mlsql``, in a text without doubts."""
    aliases, nodes = _aliases(tree), list(ast.walk(tree))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in aliases}
    return used | {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names if _is_ours(node)}


def _aliases(tree: ast.AST) -> set[str]:
    """The names of the module ``mlsql`` in a text."""
    imports = [alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return {alias.asname or alias.name for alias in imports if alias.name == "mlsql"}


def _is_ours(node: ast.ImportFrom) -> bool:
    return node.module == "mlsql" and node.level == 0


def _doubts(tree: ast.AST) -> Iterator[str]:
    """What does not leave the files alone for certain, as the end of a sentence that the file's name begins."""
    aliases = _aliases(tree)
    parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from _doubts_of_modules(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield from _doubts_of_modules([node.module])
            if _is_ours(node):
                yield from (f"imports {alias.name} from mlsql" for alias in node.names if alias.name not in _HARMLESS)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if found := _TELLING.search(node.value):
                yield f"has the text {found[0]!r}"
        elif isinstance(node, ast.Name) and node.id in _ANY_CODE:
            yield f"uses {node.id}, which may do anything"
        elif isinstance(node, ast.Name) and node.id in aliases:
            yield from _doubts_of_use(parents[id(node)], parents)


def _doubts_of_modules(names: Iterator[str] | list[str]) -> Iterator[str]:
    for name in names:
        if name.partition(".")[0] in _ANY_MODULE or name.startswith("mlsql."):
            yield f"imports {name}, which may do anything"


def _doubts_of_use(use: ast.AST, parents: dict[int, ast.AST]) -> Iterator[str]:
    """Of one mention of the module: an attribute that is read, and of paths one that is harmless."""
    if not isinstance(use, ast.Attribute):
        yield "hands the module mlsql on"
    elif not isinstance(use.ctx, ast.Load) or use.attr not in _HARMLESS | {_PATHS}:
        yield f"uses mlsql.{use.attr}"
    elif use.attr == _PATHS and not _is_harmless_path(parents[id(use)]):
        yield f"uses mlsql.{_PATHS}"


def _is_harmless_path(use: ast.AST) -> bool:
    return isinstance(use, ast.Subscript) and isinstance(use.slice, ast.Constant) and use.slice.value in _HARMLESS_PATHS
