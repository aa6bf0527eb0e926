"""Every option is declared once, on its statement: operators and the reference page agree with the declarations."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_mlsql.operators.base import MLSQLOperator
from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from mlsql_runtime.plan import Predict, Register, Train
from mlsql_runtime.plan.options import Option, all_arguments, all_options

ROOT = Path(__file__).parents[2]
#: Operators, their statements, and their arguments that are not options.
OPERATORS: list[tuple[type[MLSQLOperator], type, set[str]]] = [
    (MLSQLTrainOperator, Train, {"model_path", "data", "sql", "kafka_conn_id", "mlflow_conn_id"}),
    (MLSQLRegisterOperator, Register, {"model_path", "function_name", "on_refused", "mlflow_conn_id"}),
    (MLSQLPredictOperator, Predict, {"model_path", "data", "sql", "functions", "output"}),
]
each_operator = pytest.mark.parametrize(("operator", "statement", "own"), OPERATORS)


def signature_of(operator: type[MLSQLOperator]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(operator.__init__).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in ("self", "kwargs")}


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def single_options(statement: type) -> dict[str, Option]:
    """The options that have an argument of their own."""
    return {str(option.argument): option for option in all_options(statement) if option.argument and option.key is None}


@each_operator
def test_the_signature_has_each_argument_of_the_statement(operator: type[MLSQLOperator], statement: type, own: set[str]) -> None:
    parameters = signature_of(operator)
    assert parameters.keys() == own | set(all_arguments(statement))
    for name, option in single_options(statement).items():
        default = parameters[name].default
        assert default in (None, ()) if option.is_optional else default == option.default, name


@each_operator
def test_each_argument_is_a_template_field_and_an_attribute(operator: Any, statement: type, own: set[str]) -> None:
    names = own | set(all_arguments(statement))
    attributes = {"output_table" if name == "output" else name for name in names}  # output is the task's XCom
    assert set(operator.template_fields) == attributes | set(MLSQLOperator.template_fields)
    given = {name: f"{{{{ params.{name} }}}}" for name in names}
    made = operator(task_id="t", **given)
    assert {name: getattr(made, name) for name in attributes} == {
        name: given["output" if name == "output_table" else name] for name in attributes
    }


@each_operator
def test_the_docstring_has_the_sentence_of_each_declaration(operator: type, statement: type, own: set[str]) -> None:
    text = inspect.getdoc(operator) or ""
    documented = {name: plain(sentence) for name, sentence in re.findall(r":param (\w+): ((?:.|\n )*)", text)}
    assert documented.keys() == own | set(all_arguments(statement))
    for name, option in single_options(statement).items():
        assert documented[name].startswith(plain(option.doc)), name


def test_the_reference_page_is_that_of_the_declarations() -> None:
    command = [sys.executable, str(ROOT / "scripts/reference.py"), "--print"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    page = (ROOT / "docs/reference/options.md").read_text(encoding="utf-8")
    assert text == page, "run make reference"


def test_every_option_has_a_name_of_its_own_and_a_sentence() -> None:
    for _, statement, _ in OPERATORS:
        names = [option.name for option in all_options(statement)]
        assert len(set(names)) == len(names)
        assert all(option.doc[0].isupper() or option.doc.startswith("``") for option in all_options(statement))
        assert all(option.doc.endswith(".") for option in all_options(statement))
