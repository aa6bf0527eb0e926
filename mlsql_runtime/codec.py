"""Encode frozen dataclasses as JSON, and decode them strictly.

Every document that crosses a process (plan, result, manifest, event, script task) is encoded here. Decoding refuses unknown
fields, missing fields and wrong types, and names the place: ``plan.json: statements[2].fit_params[0]: expected …, got …``. What
it returns can be encoded again: numbers are finite, texts Unicode, times have a zone, values of any type are not nested deeply.

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
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from mlsql_runtime.errors import FormatError, MLSQLError, did_you_mean

T = TypeVar("T")
_Decoder = Callable[[Any, str], Any]
TAG = "kind"
MAX_DEPTH = 100  # of the lists and objects in a value of any type
_SHOWN = 80  # characters of a value or a name in an error
_SHOWN_PLACE, _SHOWN_PROBLEM = 400, 1000
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
    expected: Any = cls
    decoded: T = _decoder(expected)(document, where)
    return decoded


def dumps(value: Any) -> str:
    """Encode a value as indented JSON text.

    :raises FormatError: for NaN and infinities, and for text that is not Unicode, such as a file's name that is not UTF-8.
    """
    text = json.dumps(encode(value), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 30) : error.end + 10]
        raise FormatError(f"text that is not Unicode cannot be written as JSON: {around!r}; rename it") from None
    return text


def loads(cls: type[T], text: str | bytes, where: str, version: tuple[str, int] | None = None) -> T:
    """Decode JSON text.

    :param version: the field that holds the document's format version, and the version that is read.
    :raises FormatError: when the text is not JSON, has another version, or does not have the form of ``cls``.
    """
    try:
        document = _parse(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: this is not JSON ({error}); the file is damaged, or another program wrote it") from error
    if version is not None:
        field, supported = version
        found = document.get(field) if isinstance(document, dict) else None
        if found != supported or isinstance(found, bool):  # True == 1
            raise FormatError(
                f"{where}: {field} is {_show(found)}, this version of mlsql_runtime reads {supported}; "
                "install the same version of airflow-provider-mlsql for the writer and the reader",
                found=found if isinstance(found, int) else None if found is None else str(found)[:_SHOWN],
                supported=supported,
            )
    return decode(cls, document, where)


def read_or_none(cls: type[T], path: Path) -> T | None:
    """Return the document in a file whose writer may have been killed; None when there is none, or half of one."""
    try:
        return loads(cls, path.read_bytes(), str(path))
    except (OSError, FormatError):
        return None


def _parse(text: str) -> Any:
    """Parse strict JSON.

    :raises ValueError: for any other text, numbers that are not finite, and text that is not Unicode.
    :raises RecursionError: for a document that is nested too deeply.
    """
    document = _JSON.decode(text)
    if "\\u" in text:  # half a pair of surrogates can only be written as an escape
        json.dumps(document, ensure_ascii=False).encode()
    return document


def _parse_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:_SHOWN]} is not a JSON number")
    return number


_JSON = json.JSONDecoder(parse_constant=_parse_number, parse_float=_parse_number)


def _show(value: Any) -> str:
    """Return a value as an error shows it."""
    shown = repr(value[:_SHOWN] if isinstance(value, str) else value)
    return shown if len(shown) < _SHOWN else shown[: _SHOWN - 3] + "..."


def _fail(where: str, problem: str, field: str | None = None) -> FormatError:
    if len(where) > _SHOWN_PLACE:
        where = f"{where[: _SHOWN_PLACE - 100]}…{where[-_SHOWN:]}"
    facts: dict[str, Any] = {} if field is None else {"field": field[:_SHOWN]}
    return FormatError(f"{where}: {problem}", **facts)


def _wrong(where: str, expected: str, got: Any) -> FormatError:
    return _fail(where, f"expected {expected}, got {_show(got)}")


def _check_depth(value: Any, where: str) -> Any:
    """Return a value of any type.

    :raises FormatError: when it is nested too deeply for those who handle it by recursion.
    """
    inner, depth = [value], 0
    while inner := [item for each in inner if isinstance(each, (dict, list)) for item in _items(each)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise _fail(where, f"lists and objects are nested more than {MAX_DEPTH} deep")
    return value


def _items(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


# -- a decoder for each type, made once: it takes a JSON value and its place


@functools.cache
def _decoder(expected: Any) -> _Decoder:
    """Return the decoder of a type."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return _decode_any
    if origin in (typing.Union, types.UnionType):
        return _make_union_decoder(arguments)
    if origin is typing.Literal:
        return functools.partial(_decode_literal, arguments)
    if origin is tuple:
        return functools.partial(_decode_tuple, _decoder(arguments[0]))
    if origin in (Mapping, dict):
        return functools.partial(_decode_mapping, _decoder(arguments[1]))
    if dataclasses.is_dataclass(expected):
        return functools.partial(_decode_dataclass, typing.cast(type, expected))
    if expected is datetime:
        return _decode_time
    return _make_scalar_decoder(type(None) if expected is None else expected)


def _decode_any(value: Any, where: str) -> Any:
    return _check_depth(value, where) if isinstance(value, (dict, list)) else value


def _decode_literal(allowed: tuple[Any, ...], value: Any, where: str) -> Any:
    if value not in allowed:
        raise _wrong(where, " or ".join(repr(choice) for choice in allowed), value)
    return value


def _decode_tuple(decode_item: _Decoder, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(where, "a list", value)
    return tuple([decode_item(item, f"{where}[{index}]") for index, item in enumerate(value)])


def _decode_mapping(decode_item: _Decoder, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    return {key: decode_item(item, f"{where}.{key}") for key, item in value.items()}


def _make_scalar_decoder(kind: type) -> _Decoder:
    def decode_scalar(value: Any, where: str) -> Any:
        if type(value) is kind:
            return value
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError as error:
                raise _wrong(where, "float", value) from error
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _wrong(where, "null" if kind is type(None) else kind.__name__, value)
        return value

    return decode_scalar


def _decode_time(value: Any, where: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
        time.astimezone(timezone.utc)  # which the first and the last day of all time may not have
    except (TypeError, ValueError, OverflowError) as error:
        raise _wrong(where, "an ISO 8601 time", value) from error
    if time.tzinfo is None:
        raise _wrong(where, "an ISO 8601 time with its zone", value)
    return time


def _make_union_decoder(choices: tuple[Any, ...]) -> _Decoder:
    present = [choice for choice in choices if choice is not type(None)]
    tagged = {choice.tag: choice for choice in present if hasattr(choice, "tag")}
    decode_present = (
        functools.partial(_decode_tagged, tagged)
        if tagged
        else _decoder(present[0])
        if len(present) == 1
        else functools.partial(_decode_first, present)
    )
    if len(present) == len(choices):
        return decode_present
    return lambda value, where: None if value is None else decode_present(value, where)


def _decode_tagged(tagged: Mapping[str, type], value: Any, where: str) -> Any:
    tag = value.get(TAG) if isinstance(value, dict) else None
    if not isinstance(tag, str) or tag not in tagged:
        raise _fail(where, f"{TAG} is {_show(tag)}{did_you_mean(str(tag)[:_SHOWN], tagged)}")
    return _decode_dataclass(tagged[tag], value, where)


def _decode_first(choices: Sequence[Any], value: Any, where: str) -> Any:
    """Return the value as the first of several types that it has."""
    for choice in choices:
        try:
            return _decoder(choice)(value, where)
        except FormatError:
            continue
    raise _wrong(where, " or ".join(getattr(choice, "__name__", str(choice)) for choice in choices), value)


@dataclasses.dataclass(frozen=True)
class _Fields:
    """The fields of a dataclass in a document: a decoder for each, and the names that it must have and may have."""

    decoders: Mapping[str, _Decoder]
    required: frozenset[str]
    allowed: frozenset[str]


@functools.cache
def _fields(cls: type) -> _Fields:
    hints = typing.get_type_hints(cls)
    declared = dataclasses.fields(cls)
    decoders = {field.name: _decoder(hints[field.name]) for field in declared}
    required = frozenset(field.name for field in declared if "added" not in field.metadata)
    return _Fields(decoders, required, frozenset(decoders) | ({TAG} if hasattr(cls, "tag") else frozenset()))


def _decode_dataclass(cls: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, f"an object ({cls.__name__})", value)
    fields, given = _fields(cls), value.keys()
    if not given <= fields.allowed:
        name = next(key for key in value if key not in fields.allowed)
        raise _fail(where, f"{cls.__name__} has no field '{name[:_SHOWN]}'{did_you_mean(name[:_SHOWN], fields.decoders)}", name)
    if not fields.required <= given:
        name = next(name for name in fields.decoders if name in fields.required and name not in given)
        raise _fail(where, f"{cls.__name__} lacks the field '{name}'", name)
    decoders = fields.decoders
    values = {name: decoders[name](item, f"{where}.{name}") for name, item in value.items() if name in decoders}
    try:
        return cls(**values)
    except MLSQLError as error:  # of a class that checks its fields
        raise _fail(where, error.message[:_SHOWN_PROBLEM]) from error
