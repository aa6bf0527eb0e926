"""Where an object is inside a model, as an expression that its author understands: ``model.steps[0][1].func, global LOG``."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType

MAX_OBJECTS = 1_000_000  # a model of many more objects than that is not searched to its end


def find_path(roots: Mapping[str, object], target: object, is_own: Callable[[object], bool]) -> str | None:
    """Return the shortest path to an object, or None if no path is found.

    :param roots: where to begin: names and objects.
    :param is_own: whether a class, function or module is the script's own. Others are not searched.
    """
    waiting = deque(roots.items())
    seen = {id(value): value for value in roots.values()}  # the objects too, so that no other one gets their ids
    while waiting and len(seen) < MAX_OBJECTS:
        path, obj = waiting.popleft()
        if obj is target:
            return path
        for step, child in _children(obj, is_own):
            if id(child) not in seen:
                seen[id(child)] = child
                waiting.append((path + step, child))
    return None


def _children(obj: object, is_own: Callable[[object], bool]) -> Iterator[tuple[str, object]]:
    """Yield the objects that are pickled with an object, each with its step in a path."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            yield f"[{key!r:.60}]", value
    elif isinstance(obj, (list, tuple)):
        for index, value in enumerate(obj):
            yield f"[{index}]", value
    elif isinstance(obj, (set, frozenset)):
        for value in obj:
            yield ", an element", value
    elif isinstance(obj, FunctionType):
        if is_own(obj) or "<l" in obj.__qualname__:  # <lambda>, or inside another function: <locals>
            yield from _used_by(obj)
    elif isinstance(obj, MethodType):
        yield ".__self__", obj.__self__
        yield ".__func__", obj.__func__
    elif isinstance(obj, functools.partial):
        yield from ((".func", obj.func), (".args", obj.args), (".keywords", obj.keywords))
    elif isinstance(obj, (type, ModuleType)):
        if is_own(obj) or "<l" in getattr(obj, "__qualname__", ""):
            for name, value in list(vars(obj).items()):
                yield f".{name}", getattr(value, "__func__", value)  # of static and class methods
    else:
        yield from _attributes(obj)


def _attributes(obj: object) -> Iterator[tuple[str, object]]:
    kind = type(obj)
    names = {name for each in kind.__mro__ for name in _slots(each)} | set(getattr(obj, "__dict__", ()))
    for name in sorted(names, key=str):
        try:
            yield f".{name}", getattr(obj, name)
        except Exception:  # noqa: S112 - an empty slot, or a descriptor of the user's
            continue
    yield f", its class {kind.__name__}", kind


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _used_by(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Yield the variables of outer functions, the defaults and the global variables that a function uses."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f", variable {name}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield ", a default", value
    for name in dict.fromkeys(_names(function.__code__)):
        if name in function.__globals__:
            yield f", global {name}", function.__globals__[name]
    for name, value in vars(function).items():
        yield f".{name}", value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
