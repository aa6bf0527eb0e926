"""Encode frozen dataclasses as JSON, and decode them strictly.

Every document that crosses a process (plan, result, manifest, event, script task) is encoded here. Decoding refuses unknown
fields, missing fields and wrong types, and names the place: ``plan.json: statements[2].fit_params[0]: expected …, got …``.

A dataclass that has a ``tag`` class variable is written with ``{"kind": tag}`` and may be one of several in a union.
A field with the metadata :data:`ADDED` may be missing: documents that were stored before it was added stay readable.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from mlsql_runtime.errors import FormatError, did_you_mean

T = TypeVar("T")
TAG = "kind"
#: Metadata of a dataclass field, which has a default and is missing in what earlier versions of this software have stored.
ADDED = types.MappingProxyType({"added": True})


def encode(value: Any) -> Any:
    """Return the JSON value of a dataclass, mapping, tuple, list, datetime or scalar.

    :raises FormatError: for NaN and infinities.
    """
    if value is None or isinstance(value, (str, int)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        document = {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
        tag = getattr(value, "tag", None)
        return {TAG: tag, **document} if tag else document
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise FormatError(f"{value} cannot be written as JSON; expected a finite number or null")
    return value


def decode(cls: type[T], document: Any, where: str) -> T:
    """Return an instance of ``cls`` from a JSON value that :func:`encode` returned.

    :param where: the name of the document in errors.
    :raises FormatError: when the value does not have the form of ``cls``.
    """
    decoded: T = _decode(cls, document, where)
    return decoded


def dumps(value: Any) -> str:
    """Encode a value as indented JSON text."""
    return json.dumps(encode(value), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def loads(cls: type[T], text: str | bytes, where: str, version: tuple[str, int] | None = None) -> T:
    """Decode JSON text.

    :param version: the field that holds the document's format version, and the version that is read.
    :raises FormatError: when the text is not JSON, has another version, or does not have the form of ``cls``.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise FormatError(f"{where}: this is not JSON ({error}); the file is damaged, or another program wrote it") from error
    if version is not None:
        field, supported = version
        found = document.get(field) if isinstance(document, dict) else None
        if found != supported or isinstance(found, bool):  # True == 1
            raise FormatError(
                f"{where}: {field} is {found!r}, this version of mlsql_runtime reads {supported}; "
                "install the same version of airflow-provider-mlsql for the writer and the reader",
                found=found,
                supported=supported,
            )
    return decode(cls, document, where)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


@functools.cache
def _field_types(cls: type) -> Mapping[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


@functools.cache
def _required(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls) if "added" not in field.metadata)


@functools.cache
def _by_tag(choices: tuple[Any, ...]) -> Mapping[str, Any]:
    return {choice.tag: choice for choice in choices if hasattr(choice, "tag")}


def _wrong(where: str, expected: str, got: Any) -> FormatError:
    shown = repr(got)
    return FormatError(f"{where}: expected {expected}, got {shown if len(shown) < 80 else shown[:77] + '...'}")


def _decode(expected: Any, value: Any, where: str) -> Any:
    origin = None if type(expected) is type else typing.get_origin(expected)  # which is slow
    if expected is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _decode_union(typing.get_args(expected), value, where)
    if origin is typing.Literal:
        allowed = typing.get_args(expected)
        if value not in allowed:
            raise _wrong(where, " or ".join(repr(choice) for choice in allowed), value)
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        item = typing.get_args(expected)[0]
        return tuple(_decode(item, element, f"{where}[{index}]") for index, element in enumerate(value))
    if origin in (Mapping, dict):
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        item = typing.get_args(expected)[1]
        return {key: _decode(item, element, f"{where}.{key}") for key, element in value.items()}
    if dataclasses.is_dataclass(expected):
        return _decode_dataclass(typing.cast(type, expected), value, where)
    return _decode_scalar(expected, value, where)


def _decode_scalar(expected: Any, value: Any, where: str) -> Any:
    if expected is datetime:
        try:
            return datetime.fromisoformat(value)
        except (TypeError, ValueError) as error:
            raise _wrong(where, "an ISO 8601 time", value) from error
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise _wrong(where, "float", value) from error
    kind = type(None) if expected is None else expected
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(where, "null" if kind is type(None) else kind.__name__, value)
    return value


def _decode_union(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in choices:
        return None
    tagged = _by_tag(choices)
    if tagged:
        tag = value.get(TAG) if isinstance(value, dict) else None
        if not isinstance(tag, str) or tag not in tagged:
            raise FormatError(f"{where}: {TAG} is {tag!r}{did_you_mean(str(tag), tagged)}")
        return _decode(tagged[tag], value, where)
    present = [choice for choice in choices if choice is not type(None)]
    if len(present) == 1:
        return _decode(present[0], value, where)
    for choice in present:
        try:
            return _decode(choice, value, where)
        except FormatError:
            continue
    raise _wrong(where, " or ".join(getattr(choice, "__name__", str(choice)) for choice in choices), value)


def _decode_dataclass(cls: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, f"an object ({cls.__name__})", value)
    fields = _field_types(cls)
    given = {key: item for key, item in value.items() if key != TAG or not hasattr(cls, "tag")}
    for key in given:
        if key not in fields:
            raise FormatError(f"{where}: {cls.__name__} has no field '{key}'{did_you_mean(key, fields)}", field=key)
    missing = [name for name in _required(cls) if name not in given]
    if missing:
        raise FormatError(f"{where}: {cls.__name__} lacks the field '{missing[0]}'", field=missing[0])
    return cls(**{name: _decode(fields[name], item, f"{where}.{name}") for name, item in given.items()})
