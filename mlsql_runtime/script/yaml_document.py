"""Read a small YAML document that somebody else wrote, in bounded time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsql_runtime.errors import InputError

MAX_BYTES, MAX_NODES = 16 << 10, 10_000  # PyYAML reads a megabyte in half a minute
MAX_LEVELS = 100  # of brackets in brackets, for which PyYAML takes time that grows with the square of their number


def read_yaml(text: bytes, where: str, max_bytes: int = MAX_BYTES) -> Mapping[str, Any]:
    """Return the mapping in a YAML document.

    :param where: its path, for errors.
    :raises InputError: when it is not YAML, is too large, holds something else than names and values, or PyYAML is missing.
    """
    try:
        import yaml
    except ImportError as error:
        raise InputError(f"{where} is YAML, which needs PyYAML where the job's driver runs; pip install pyyaml") from error
    if len(text) > max_bytes:
        raise InputError(f"{where} is too large; expected at most {max_bytes} bytes")
    try:
        loader = yaml.SafeLoader(text)
        fetch_bracket = loader.fetch_flow_collection_start

        def fetch_next_bracket(token_class: Any) -> None:
            if loader.flow_level >= MAX_LEVELS:
                raise yaml.YAMLError(f"brackets are nested deeper than {MAX_LEVELS} levels")
            fetch_bracket(token_class)

        loader.fetch_flow_collection_start = fetch_next_bracket
        node = loader.get_single_node()
        if _count(node, {}) > MAX_NODES:
            raise InputError(f"{where}: its references make more than {MAX_NODES} values of it; write them out")
        document = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        message = " ".join(str(error).split())
        raise InputError(f"{where} is not YAML: {message[:500]}") from error
    return check_mapping(document, where)


def check_mapping(value: Any, where: str) -> Mapping[str, Any]:
    """Return a value that is a mapping and not empty.

    :raises InputError: for another one.
    """
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"{where}: expected names and values, got {'nothing' if not value else type(value).__name__}")
    return value


def _count(node: Any, known: dict[int, int]) -> int:
    """Return the number of values in a node, where a reference counts as often as what it refers to.

    :param known: the numbers of nodes that were counted before.
    :raises ValueError: when a value contains itself.
    """
    if node is None or isinstance(node.value, str):
        return 1
    if id(node) not in known:
        known[id(node)] = -1
        inner = [each for pair in node.value for each in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_count(each, known) for each in inner)
    elif known[id(node)] < 0:
        raise ValueError("a value contains itself")
    return known[id(node)]
