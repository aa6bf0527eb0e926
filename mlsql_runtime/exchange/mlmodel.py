"""The file ``MLmodel`` of an MLflow model, read without MLflow: its flavors, signature, input example and packages.

Somebody else may have written it: paths in it must not lead out of the model's folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlsql_runtime.errors import InputError
from mlsql_runtime.feed.decoding.sql_types import parse_type
from mlsql_runtime.feed.decoding.vectors import SPARK_VECTOR_TYPE, is_vector
from mlsql_runtime.scoring.results import to_array
from mlsql_runtime.script.yaml_document import read_yaml
from mlsql_runtime.storage.relative_paths import is_plain
from mlsql_runtime.store.signature import Column, Signature

MLMODEL = "MLmodel"
MAX_BYTES = 192 << 10  # a signature of three thousand columns
_MAX_DEPTH = 20  # of a type
_SAMPLE_ROWS = 5
_TYPES = {
    "boolean": "boolean",
    "integer": "int",
    "long": "bigint",
    "float": "float",
    "double": "double",
    "string": "string",
    "binary": "binary",
    "datetime": "timestamp_ntz",
}
_PLACES_ELSEWHERE = ("uri", "loader_module", "python_version")  # where an artifact was when the model was saved; names of modules
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([A-Za-z0-9.+!_-]+)\s*(?:;.*)?")
_VECTOR_COLUMN = "features"


@dataclass(frozen=True, kw_only=True)
class MLmodel:
    """What an ``MLmodel`` says.

    :param flavors: the properties of each flavor.
    :param signature: None if there is none, or it has types that Spark does not have; ``notes`` then say so.
    :param width: the length of the vectors of a signature that is a tensor.
    :param example: the properties of the input example.
    """

    flavors: Mapping[str, Mapping[str, Any]]
    signature: Signature | None = None
    width: int | None = None
    example: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_mlmodel(folder: Path) -> MLmodel:
    """Read the ``MLmodel`` in a folder.

    :raises InputError: when it cannot be read, or names a path out of the folder.
    """
    place = folder / MLMODEL
    try:
        with place.open("rb") as file:
            document = read_yaml(file.read(MAX_BYTES + 1), str(place), MAX_BYTES)
    except OSError as error:
        raise InputError(f"{place} cannot be read: {error.strerror or error}", path=str(place)) from error
    flavors = document.get("flavors")
    if not isinstance(flavors, Mapping) or not flavors or not all(isinstance(each, Mapping) for each in flavors.values()):
        raise InputError(f"{place} has no flavors, which say how to load the model; is it one of MLflow?", path=str(place))
    example = document.get("saved_input_example_info")
    example = example if isinstance(example, Mapping) else {}
    for name, text in (*_list_texts(flavors, "flavors"), *_list_texts(example, "saved_input_example_info")):
        last = name.rpartition(".")[2]
        if last not in _PLACES_ELSEWHERE and (text.startswith(("/", "~")) or ".." in re.split(r"[/\\]", text)):
            raise InputError(f"{place}: {name} is {text[:100]!r}, which leads out of the model's folder", path=str(place))
    said = {name: str(document[name]) for name in ("run_id", "model_uuid", "model_id", "mlflow_version") if document.get(name)}
    named = {str(name): {str(key): value for key, value in each.items()} for name, each in flavors.items()}
    model = MLmodel(flavors=named, example={str(key): value for key, value in example.items()}, facts=said)
    given = document.get("signature")
    if not isinstance(given, Mapping):
        return model
    try:
        signature, width = _read_signature(given)
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return replace(model, notes=(f"its signature is not used: {' '.join(str(error).split())[:200]}",))
    return replace(model, signature=signature, width=width)


def _list_texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield the texts in a document, each with its place."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _list_texts(each, f"{name}.{key}")
    elif isinstance(value, (list, tuple, set)):
        for each in value:
            yield from _list_texts(each, name)


# -- the signature


def _read_signature(given: Mapping[str, Any]) -> tuple[Signature | None, int | None]:
    inputs = json.loads(given["inputs"]) if given.get("inputs") else []
    outputs = json.loads(given["outputs"]) if given.get("outputs") else []
    if not inputs:
        return None, None
    label = _read_label(outputs)
    if inputs[0]["type"] == "tensor":
        return _read_tensor(inputs, label)
    names = [str(column.get("name", "")) for column in inputs]
    if not all(names) or len({name.lower() for name in names}) < len(names):
        raise ValueError("its columns have no names, or one name twice")
    features = tuple(Column(name=name, type=_to_sql(column, 0)) for name, column in zip(names, inputs, strict=True))
    return Signature(features=features, label=label), None


def _read_tensor(inputs: Sequence[Any], label: Column | None) -> tuple[Signature | None, int | None]:
    shape, dtype = inputs[0]["tensor-spec"]["shape"], np.dtype(inputs[0]["tensor-spec"]["dtype"])
    if len(inputs) > 1 or len(shape) != 2 or dtype.kind not in "fiub":
        raise ValueError(f"functions take vectors of numbers, and its input is {len(inputs)} tensor of {dtype} and shape {shape}")
    width = int(shape[1])
    features = (Column(name=str(inputs[0].get("name", _VECTOR_COLUMN)), type="vector"),)
    return Signature(features=features, label=label), width if width > 0 else None


def _read_label(outputs: Sequence[Any]) -> Column | None:
    """Return what the model predicts as the label, if it is text or a boolean; a number is what functions return anyway."""
    if len(outputs) != 1:
        return None
    kind = outputs[0]["type"]
    if kind == "tensor":
        letter = np.dtype(outputs[0]["tensor-spec"]["dtype"]).kind
        kind = {"b": "boolean", "U": "string", "O": "string"}.get(letter, "")
    return Column(name=str(outputs[0].get("name", "label")), type=kind) if kind in ("string", "boolean") else None


def _to_sql(column: Mapping[str, Any], depth: int) -> str:
    kind = column["type"]
    if depth > _MAX_DEPTH:
        raise ValueError("a type is nested too deeply")
    if kind == "array":
        return f"array<{_to_sql(column['items'], depth + 1)}>"
    if kind == "map":
        return f"map<string,{_to_sql(column['values'], depth + 1)}>"
    if kind == "object":
        parts = (f"{name}:{_to_sql(each, depth + 1)}" for name, each in column["properties"].items())
        return f"struct<{','.join(parts)}>"
    if kind not in _TYPES:
        raise ValueError(f"Spark has no type for a column of type {kind!r}")
    return _TYPES[kind]


# -- sample rows and packages


def read_example(folder: Path, model: MLmodel) -> pa.Table | None:
    """Return the input example as rows of the feature columns; None if there is none of these columns."""
    name, signature = model.example.get("artifact_path"), model.signature
    if signature is None or not isinstance(name, str) or not is_plain(name):
        return None
    try:
        document = json.loads((folder / name).read_text(encoding="utf-8"))
        if is_vector(parse_type(signature.features[0].type)):
            matrix = np.asarray(document["inputs"] if isinstance(document, Mapping) else document, dtype=np.float64)
            return pa.table({signature.names[0]: to_array(matrix[:_SAMPLE_ROWS], SPARK_VECTOR_TYPE, len(matrix[:_SAMPLE_ROWS]))})
        places = [document["columns"].index(each) for each in signature.names]
        rows = document["data"][:_SAMPLE_ROWS]
        columns = {
            column.name: pa.array([row[place] for row in rows], parse_type(column.type))
            for place, column in zip(places, signature.features, strict=True)
        }
        return pa.table(columns) if rows else None
    except Exception:  # what an example may hold has no end; a function can be tried on a table as well
        return None


def read_packages(folder: Path, model: MLmodel) -> dict[str, str]:
    """Return the packages that the model names with a version, and the version of Python that saved it."""
    found = {}
    version = model.flavors.get("python_function", {}).get("python_version")
    if isinstance(version, str):
        found["python"] = version[:40]
    try:
        lines = (folder / "requirements.txt").read_text(encoding="utf-8")[: 1 << 16].splitlines()
    except (OSError, UnicodeDecodeError):
        return found
    for line in lines:
        if match := _PIN.fullmatch(line.strip()):
            found[match[1].lower()] = match[2]
    return found
