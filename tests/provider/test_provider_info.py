"""What the provider tells Airflow about itself is complete, and as Airflow wants it."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers.common.compat.sdk import BaseHook
from airflow.providers_manager import ProvidersManager
from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.triggers.base import BaseTrigger

import airflow_provider_mlsql
from airflow_provider_mlsql import __version__, get_provider_info
from airflow_provider_mlsql.hooks.kafka import KafkaHook

SCHEMAS = Path(airflow.__file__).parent
PROVIDER = Path(airflow_provider_mlsql.__file__).parent
KINDS = {"operators": BaseOperator, "sensors": BaseOperator, "triggers": BaseTrigger, "hooks": BaseHook}
BASES = ("MLSQLOperator", "QueryFileOperator")


@pytest.fixture
def info() -> dict[str, Any]:
    return get_provider_info()


def modules_below(name: str) -> Iterator[ModuleType]:
    package = importlib.import_module(f"airflow_provider_mlsql.{name}")
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def defines(module: ModuleType, kind: str) -> bool:
    """Whether a module has a class for users: its name says what it is, and it is no base class."""
    suffix = kind.removesuffix("s").capitalize()
    return any(
        issubclass(each, KINDS[kind]) and each.__module__ == module.__name__ and name.endswith(suffix) and name not in BASES
        for name, each in inspect.getmembers(module, inspect.isclass)
    )


def test_it_is_as_airflow_wants_it(info: dict[str, Any]) -> None:
    jsonschema.validate(info, json.loads((SCHEMAS / "provider_info.schema.json").read_text()))
    schema = json.loads((SCHEMAS / "provider.yaml.schema.json").read_text())  # stricter
    for part in ("connection-types", "config", "integrations"):
        jsonschema.validate(info[part], {**schema["properties"][part], "definitions": schema.get("definitions", {})})
    assert (info["package-name"], info["versions"]) == ("airflow-provider-mlsql", [__version__])
    assert [each["connection-type"] for each in info["connection-types"]] == [KafkaHook.conn_type]


@pytest.mark.parametrize("kind", KINDS)
def test_it_names_every_module_with_a_class_for_users(info: dict[str, Any], kind: str) -> None:
    (named,) = info[kind]
    assert set(named["python-modules"]) == {each.__name__ for each in modules_below(kind) if defines(each, kind)}
    assert [each["integration-name"] for each in info["integrations"]] == [named["integration-name"]]


def test_it_names_every_link(info: dict[str, Any]) -> None:
    from airflow_provider_mlsql import links

    found = {
        f"{links.__name__}.{name}"
        for name, each in inspect.getmembers(links, inspect.isclass)
        if issubclass(each, BaseOperatorLink) and each is not BaseOperatorLink
    }
    assert set(info["extra-links"]) == found


def test_it_declares_every_setting_that_the_code_reads(info: dict[str, Any]) -> None:
    read = re.compile(r'conf\.get\w*\(\s*"mlsql",\s*"(\w+)"')
    found = {name for path in PROVIDER.rglob("*.py") for name in read.findall(path.read_text(encoding="utf-8"))}
    assert set(info["config"]["mlsql"]["options"]) == found


def test_airflow_knows_the_settings() -> None:
    settings = dict(ProvidersManager().provider_configs)["airflow-provider-mlsql"]  # type: ignore[no-untyped-call]
    assert settings == get_provider_info()["config"]
