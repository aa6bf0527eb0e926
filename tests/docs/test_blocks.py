"""Each block of the documentation is what its language says: code that compiles, with names, arguments and options that exist.

Nothing is run here, but tasks of DAGs are built. What can be run is run by the tests of its subject; CONTRIBUTING.md lists them.
"""

from __future__ import annotations

import ast
import builtins
import configparser
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import airflow.sdk
import click
import mlsql
import mlsql_model
import pytest
import python_fun
import yaml
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import XComArg
from packaging.requirements import Requirement
from support.doc_blocks import OUTPUTS, PAGES, ROOT, SHELLS, Block, find_indented, read_blocks

from airflow_provider_mlsql.operators.base import MLSQLOperator
from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.script import MLSQLScriptOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor
from airflow_provider_mlsql.triggers.model import MLSQLModelEventTrigger
from mlsql_runtime.cli.main import cli
from mlsql_runtime.language import check_script
from mlsql_runtime.plan import FunctionRef, check_property
from mlsql_runtime.scoring.vector_functions import FUNCTIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BLOCKS = read_blocks()
DATA = ("json", "yaml", "ini")
HELPERS = {module.__name__: module for module in (mlsql, mlsql_model, python_fun)}
NOT_IMPORTED = ("tensorflow", "keras", "torch")  # too slow, or too big for everybody's environment
#: What the pages say that every DAG imports.
OURS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        MLSQLTrainOperator,
        MLSQLRegisterOperator,
        MLSQLPredictOperator,
        MLSQLScriptOperator,
        MLSQLModelSensor,
        MLSQLModelEventTrigger,
    )
}
AIRFLOWS = {name: getattr(airflow.sdk, name) for name in ("DAG", "Asset", "AssetWatcher", "Param", "task")}
NEIGHBOURS = ("train", "register", "tell")  # tasks that a block names, and another block of the page defines
#: What stands behind ``...`` as the first argument.
LEFT_OUT: dict[str, dict[str, Any]] = {
    "MLSQLTrainOperator": {"task_id": "train", "model_path": "/m", "python_script_path": "t.py", "data": "parquet.`/d`"},
    "MLSQLRegisterOperator": {"task_id": "register", "model_path": "/m", "python_script_path": "p.py", "function_name": "f"},
}
CONNECTIONS = {
    "minio": {"conn_type": "aws", "login": "key", "password": "secret"},
    "aws_data": {"conn_type": "aws"},
    "google": {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True}},
    "mlflow": {"conn_type": "http", "host": "http://mlflow:5000"},
    "mlsql_kafka_default": {"conn_type": "mlsql_kafka", "host": "broker:9092"},
}
#: Commands whose words are not checked.
OTHER_PROGRAMS = {"cd", "export", "hdfsn", "mkdir", "mlflow", "python", "source", "tar", "true", "uv"}
TABLES = "load parquet.`/d` as data; load parquet.`/d` as customers;\n"


def of(*languages: str) -> pytest.MarkDecorator:
    """Run a test on each block in one of these languages."""
    return pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in languages], ids=str)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_say_their_language(page: Path) -> None:
    assert find_indented(page) == []


def test_languages_are_known() -> None:
    assert {block.language for block in BLOCKS} == {"python", "sql", "console", "mermaid", *SHELLS, *OUTPUTS, *DATA}


@of("python")
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec", dont_inherit=True)


@of("python")
def test_python_imports_what_exists(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = import_module(str(node.module))
            for alias in node.names:
                assert module is None or hasattr(module, alias.name), f"{node.module} has no {alias.name}"


def import_module(name: str) -> ModuleType | None:
    """Import a module; None for one of those that are not imported here."""
    return None if name.partition(".")[0] in NOT_IMPORTED else importlib.import_module(name)


@of("python")
def test_python_calls_helpers_as_they_are_defined(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if (name := find_helper(node)) is not None:
            assert hasattr(HELPERS[name[0]], name[1]), ".".join(name)
        if isinstance(node, ast.Call) and (name := find_helper(node.func)) is not None:
            keywords = {keyword.arg: None for keyword in node.keywords if keyword.arg}
            if len(keywords) == len(node.keywords) and not any(isinstance(each, ast.Starred) for each in node.args):
                inspect.signature(getattr(HELPERS[name[0]], name[1])).bind(*node.args, **keywords)


def find_helper(node: ast.AST) -> tuple[str, str] | None:
    """Return the module and the name in it, of ``mlsql.read_batches`` and the like."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in HELPERS:
        return node.value.id, node.attr
    return None


def find_names(tree: ast.AST, context: type[ast.expr_context]) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}


def is_of_a_dag(block: Block) -> bool:
    return block.language == "python" and bool(find_names(ast.parse(block.text), ast.Load) & (OURS.keys() | {"DAG", "task"}))


class LeftOut(ast.NodeTransformer):
    """Replaces ``...`` as the first argument by what an operator needs besides the arguments that are there."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value is ...:
            assert isinstance(node.func, ast.Name)
            given = {keyword.arg for keyword in node.keywords}
            missing = {name: value for name, value in LEFT_OUT[node.func.id].items() if name not in given}
            node.keywords += [ast.keyword(name, ast.Constant(value)) for name, value in missing.items()]
            node.args = []
        return node


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The connections and the file that tasks of the pages name."""
    for name, connection in CONNECTIONS.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.txt").write_text("numpy==2.4.6\n")


@pytest.mark.usefixtures("connections")
@pytest.mark.parametrize("block", [block for block in BLOCKS if is_of_a_dag(block)], ids=str)
def test_tasks_can_be_built_and_make_jobs(block: Block) -> None:
    tree = ast.fix_missing_locations(LeftOut().visit(ast.parse(block.text)))
    known = OURS | AIRFLOWS
    open_names = find_names(tree, ast.Load) - find_names(tree, ast.Store) - find_defined(tree) - known.keys() - set(dir(builtins))
    with airflow.sdk.DAG("page") as dag:
        neighbours = {name: EmptyOperator(task_id=name) for name in NEIGHBOURS if name in open_names}
        space = known | neighbours | {"__file__": str(ROOT / "dags/page.py"), "__name__": "page"}
        exec(compile(tree, str(block), "exec"), space)
    dags = {dag, *(value.dag for value in space.values() if isinstance(value, MLSQLOperator))}
    for task in (task for each in dags for task in each.tasks):
        if isinstance(task, MLSQLOperator) and is_complete(task):
            task.build_job()


def is_complete(task: MLSQLOperator) -> bool:
    """Return whether the arguments of a task need no run of the DAG, and no file with a script in MLSQL."""
    given = [getattr(task, name) for name in task.template_fields]
    return not any(isinstance(each, XComArg) or "{{" in str(each) or str(each).endswith(".mlsql") for each in given)


def find_defined(tree: ast.AST) -> set[str]:
    """Return the names of functions, their arguments, and imports."""
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    found |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return found | {alias.asname or alias.name for node in ast.walk(tree) for alias in getattr(node, "names", ())}


@of("python")
def test_spark_properties_can_be_set(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, (ast.Assign, ast.keyword)) and isinstance(node.value, ast.Dict):
            target = node.arg if isinstance(node, ast.keyword) else getattr(node.targets[0], "id", None)
            for name, value in ast.literal_eval(node.value).items() if target == "conf" else ():
                check_property(name, value)


@of("sql")
def test_mlsql_compiles(block: Block) -> None:
    errors = [error.message for error in check_statements(block.text)]
    assert bool(errors) == (block.title == "wrong.mlsql"), errors


@of("sql")
def test_sql_calls_vector_functions_that_exist(block: Block) -> None:
    assert set(re.findall(r"\b(vec_\w+|matrix_\w+|\w*onehot)\(", block.text)) <= FUNCTIONS.keys()


def check_statements(text: str) -> Iterator[Exception]:
    """Check a script; or queries, one in each line, as statements of one."""
    if text.startswith("select "):
        queries = [re.sub(r"[;\s]*(--.*)?$", "", line) for line in text.splitlines()]
        text = "".join(f"{query} as shown;\n" for query in queries)
    if "load " not in text:
        text = TABLES + text
    functions = [FunctionRef(name=name, model_path="/m", function=name) for name in ("jack", "churn", "digit")]
    variables = dict.fromkeys(("data", "model", "models", "folder"), "/d")
    yield from check_script(text, variables=variables, functions=functions)


COMMANDS = [(block, words) for block in BLOCKS if block.language in ("console", *SHELLS) for words in block.list_commands()]


@pytest.mark.parametrize(("block", "words"), COMMANDS, ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else None)
def test_commands_can_be_given(block: Block, words: list[str]) -> None:
    program, *rest = words
    if program == "mlsql":
        parse_mlsql(rest)
    elif program == "airflow":
        parse_airflow(rest)
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), rest
    elif program == "pip":
        check_extras(rest[1:])
    else:
        assert program in OTHER_PROGRAMS or "=" in program


def parse_mlsql(words: list[str]) -> None:
    """Parse a command line of ``mlsql``, as far as that is possible without running the command."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        name = words.pop(0) if words[0] in command.commands else "list"  # mlsql models PATH
        command = command.commands[name]
    with command.make_context(str(command.name), words):
        pass


def parse_airflow(words: list[str]) -> None:
    from airflow.cli.cli_parser import get_parser

    given = get_parser().parse_args(words)
    if extra := getattr(given, "conn_extra", None):
        json.loads(extra)


def check_extras(packages: list[str]) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package in packages:
        requirement = Requirement(re.sub(r"^\.", "airflow-provider-mlsql", package))
        assert requirement.name != "airflow-provider-mlsql" or requirement.extras <= declared.keys(), package


@of(*DATA)
def test_data_can_be_parsed(block: Block) -> None:
    if block.language == "yaml":
        yaml.safe_load(block.text)
    elif block.language == "ini":
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(block.text)
        for name, value in parser.items("openlineage") if parser.has_section("openlineage") else ():
            if name == "transport":
                json.loads(value)
    else:
        try:
            json.loads(block.text)
        except ValueError:  # JSON lines
            for line in block.text.splitlines():
                json.loads(line)
