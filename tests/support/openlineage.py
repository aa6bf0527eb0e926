"""OpenLineage's events: a check against the schemas of its specification, and their form without what differs between runs.

No package ships the specification's JSON schemas, but ``openlineage-python`` has a class for each of them, generated from it. The
schemas here are made of these classes. That of our own facets is shipped with the provider.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import json
import pkgutil
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attr
from jsonschema import Draft202012Validator
from openlineage.client import generated
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

import airflow_provider_mlsql.lineage
from airflow_provider_mlsql.lineage.facets import SCHEMA

CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
FACETS = ("facets", "inputFacets", "outputFacets")
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", dict: "object", list: "array"}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def check_event(event: Mapping[str, Any]) -> None:
    """Check an event and all its facets against their schemas.

    :raises jsonschema.ValidationError: for the first part that is wrong.
    """
    _validate(event, event["schemaURL"])
    for _, facet in find_facets(event):
        _validate(facet, facet["_schemaURL"])


def find_facets(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield all facets of an event, by their keys."""
    if isinstance(value, list):
        for each in value:
            yield from find_facets(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in FACETS:
                yield from each.items()
            else:
                yield from find_facets(each)


def normalize(event: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return what this provider has put into the event of a task, and the task: the same in each run.

    :param names: texts that differ between runs, and what stands for them.
    """

    def replace(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: replace(each, name) for name, each in value.items() if name not in ("_producer", "_schemaURL")}
        if isinstance(value, list):
            return [replace(each) for each in value]
        if not isinstance(value, str):
            return value
        if key in ("created", "jobId", "sha256", "scriptSha256"):
            return f"<{key}>"
        for text, name in names.items():
            value = value.replace(text, name)
        return _UUID.sub("<id>", value)

    run, job = event["run"].get("facets", {}), event["job"].get("facets", {})
    return {
        "event": event["eventType"],
        "job": event["job"]["name"],
        **({"error": replace(run["errorMessage"]["message"])} if "errorMessage" in run else {}),
        **{name: replace(facet) for name, facet in job.items() if name.startswith("mlsql_")},
        **{kind: replace(event[kind]) for kind in ("inputs", "outputs") if event.get(kind)},
    }


def find_task_events(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the last events of tasks, by their names; those of DAGs come from other processes, at any time."""
    last = [event for event in events if event["eventType"] in ("COMPLETE", "FAIL") and "." in event["job"]["name"]]
    return sorted(last, key=lambda event: str(event["job"]["name"]))


def _validate(document: Any, url: str) -> None:
    Draft202012Validator({"$ref": url}, registry=_read_registry()).validate(document)


@functools.cache
def _read_registry() -> Registry[Any]:
    documents: dict[str, dict[str, Any]] = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for _, cls in inspect.getmembers(importlib.import_module(f"{generated.__name__}.{module.name}"), attr.has):
            base, _, pointer = cls._get_schema().partition("#/$defs/") if hasattr(cls, "_get_schema") else ("", "", "")
            if base and pointer == cls.__name__:
                documents.setdefault(base, {})[pointer] = _make_schema(cls)
    resources: dict[str, Any] = {url: {"$defs": schemas} for url, schemas in documents.items()}
    resources[SCHEMA] = json.loads((Path(airflow_provider_mlsql.lineage.__file__).parent / "facets.json").read_text())
    return Registry().with_resources([(url, Resource(each, DRAFT202012)) for url, each in resources.items()])


def _make_schema(cls: Any) -> dict[str, Any]:
    hints, fields = typing.get_type_hints(cls), attr.fields(cls)
    required = [field.name for field in fields if field.default is attr.NOTHING or field.name in ("_producer", "_schemaURL")]
    properties = {field.name: {} if field.name in FACETS else _make_type(hints[field.name]) for field in fields}
    return {"type": "object", "properties": properties, "required": required}


def _make_type(hint: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_make_type(each) for each in arguments]}
    if origin is list:
        return {"type": "array", "items": _make_type(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _make_type(arguments[1])}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if hint is Any:
        return {}
    if attr.has(hint):
        return {"$ref": hint._get_schema()} if hasattr(hint, "_get_schema") else _make_schema(hint)
    if issubclass(hint, enum.Enum):
        return {"enum": [each.value for each in hint]}
    return {"type": _SCALARS[hint]}
