"""The reference has everything that the code declares: arguments, functions, commands, errors and settings, each once."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import click
import mlsql
import mlsql_model
import pytest
import python_fun
from document_tables import fill_tables
from support.workbench import TESTS

from airflow_provider_mlsql.triggers.conditions import CONDITIONS
from mlsql_runtime.cli.main import cli
from mlsql_runtime.errors import DataError, JobFailed, MLSQLError, Refused

ROOT = TESTS.parent
OPERATORS = [
    "operators.train.MLSQLTrainOperator",
    "operators.register.MLSQLRegisterOperator",
    "operators.predict.MLSQLPredictOperator",
    "operators.script.MLSQLScriptOperator",
    "operators.base.MLSQLOperator",
]
SENSOR = ["sensors.model.MLSQLModelSensor", "triggers.model.MLSQLModelTrigger", "triggers.model.MLSQLModelEventTrigger"]


def read_page(site: Path, name: str) -> str:
    return (site / "reference" / f"{name}.html").read_text(encoding="utf-8")


def find_parameters(page: str, identifier: str) -> list[str]:
    """The names in the list of parameters of a class."""
    _, found, rest = page.partition(f'id="{identifier}"')
    assert found, identifier
    listed = rest.partition('class="doc doc-object doc-class"')[0].partition("Parameters:")[2].partition("doc-section-title")[0]
    return re.findall(r'<li class="doc-section-item field-body">\s*<b><code>(\w+)</code>', listed)


@pytest.mark.parametrize(
    ("page", "name"), [*(("operators", name) for name in OPERATORS), *(("sensor-and-triggers", name) for name in SENSOR)]
)
def test_the_reference_has_each_argument_once(site: Path, page: str, name: str) -> None:
    module, _, cls = f"airflow_provider_mlsql.{name}".rpartition(".")
    declared = inspect.signature(getattr(importlib.import_module(module), cls).__init__).parameters
    elsewhere = {"self", "kwargs", *(CONDITIONS if cls == "MLSQLModelTrigger" else ())}  # whose conditions are the sensor's
    expected = Counter(argument for argument in declared if argument not in elsewhere)
    assert Counter(find_parameters(read_page(site, page), f"{module}.{cls}")) == expected


@pytest.mark.parametrize("module", [mlsql, mlsql_model, python_fun])
def test_the_reference_has_what_scripts_import(site: Path, module: object) -> None:
    page, name = read_page(site, "scripts"), module.__name__  # type: ignore[attr-defined]
    anchors = Counter(re.findall(r'<h\d id="([\w.]+)"', page))
    for each in module.__all__:  # type: ignore[attr-defined]
        assert anchors[f"{name}.{each}"] == 1, each


def list_commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from list_commands(each, f"{path} {name}")


def test_the_reference_has_every_command_and_its_options(site: Path) -> None:
    text = unescape(re.sub(r"<[^>]+>", "", read_page(site, "commands")))
    for path, command in list_commands(cli, "mlsql"):
        assert f"{path} [" in text or path in text, path
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[0] in text, (path, parameter.opts)


def list_errors(root: type[MLSQLError]) -> Iterator[type[MLSQLError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == "mlsql_runtime.errors":
            yield from list_errors(child)


def test_the_page_of_errors_has_each_class_once_with_its_base() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", page, re.MULTILINE)
    assert Counter(rows) == Counter((each.__name__, each.__bases__[0].__name__) for each in list_errors(MLSQLError))


def test_the_page_of_settings_has_each_setting_that_the_code_reads() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    own = {"MLSQL_COMPLETE", "MLSQL_EVENTS", "MLSQL_JOB_MARK", "MLSQL_SCRIPT_INPUT", "MLSQL_SCRIPT_MARK"}  # set by a job itself
    own |= {f"spark.mlsql.{kind}" for kind in ("columnFunctions", "textFunctions", "vectorFunctions", "widestFunction")}
    sources = [
        path.read_text(encoding="utf-8")
        for room in ("mlsql_runtime", "airflow_provider_mlsql")
        for path in (ROOT / room).rglob("*.py")
    ]
    variables = {name for text in sources for name in re.findall(r"[\"'`]_?(MLSQL_[A-Z_]+)[\"'`]", text)}
    options = {pair for text in sources for pair in re.findall(r'conf\.get\w*\("(\w+)", "(\w+)"', text)}
    properties = {name for text in sources for name in re.findall(r'^\w+ = "(spark\.mlsql\.[a-z]\w+)"', text, re.MULTILINE)}
    assert {name for name in variables - own if f"`{name}`" not in page} == set()
    assert {pair for pair in options if f"`[{pair[0]}] {pair[1]}`" not in page} == set()
    assert {name for name in properties - own if f"`{name}`" not in page} == set()


def test_tables_of_documents_have_the_fields_of_the_classes() -> None:
    table = fill_tables("<!-- fields of mlsql_runtime.result:TrainResult -->")
    assert re.findall(r"^\| `([\w.\[\]*]+)` \| ([^|]+) \|", table, re.MULTILINE) == [
        ("model_path", "text"),
        ("version", "whole number"),
        ("score", "number or null"),
        ("best", "object"),
        ("best.alg_index", "whole number"),
        ("best.score", "number or null"),
        ("fits", "list of: object"),
        ("fits[].alg_index", "whole number"),
        ("fits[].status", "`success` or `failed` or `timeout`"),
        ("fits[].score", "number or null"),
        ("fits[].metrics", "object of: number or null"),
        ("fits[].seconds", "number"),
        ("rows", "whole number"),
    ]


def test_the_retry_policy_spares_the_retries_that_cannot_help() -> None:
    _, code, _ = re.split("```python\n|train = .*\n```", (ROOT / "docs" / "reference" / "errors.md").read_text(), maxsplit=2)
    names: dict[str, Any] = {}
    exec(code, names)
    found = [names["policy"].evaluate(error, 1, 3, None).action.value for error in (Refused("r"), DataError("d"), JobFailed("j"))]
    assert found == ["fail", "fail", "default"]
