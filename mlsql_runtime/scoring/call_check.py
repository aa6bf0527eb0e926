"""Calls of functions in a query that Spark has analysed: their arguments are checked before any row is scored.

The walk asks the JVM for those parts of the plan that call Python functions. It leaves out the tables of earlier statements,
which were checked when they were defined.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlsql_runtime.errors import InputError
from mlsql_runtime.feed.decoding.sql_types import is_list, name_type, parse_type
from mlsql_runtime.feed.decoding.vectors import is_vector
from mlsql_runtime.scoring.arguments import Argument, Parameters
from mlsql_runtime.scoring.arrow_batching import set_batch_sizes
from mlsql_runtime.spark_errors import translate
from mlsql_runtime.store.function_records import FunctionRecord

if TYPE_CHECKING:
    from pyspark.errors import AnalysisException
    from pyspark.sql import DataFrame


def check_calls(table: DataFrame, functions: Mapping[str, FunctionRecord]) -> None:
    """Check the arguments of all calls in the query that defines ``table``.

    :param functions: the packages of the session's functions by name.
    :raises InputError: for the first call with arguments that its function does not take.
    """
    if not functions:
        return
    java: Any = table.sparkSession.sparkContext._jvm
    python_call = java.org.apache.spark.sql.catalyst.trees.TreePattern.PYTHON_UDF()
    for call in _find_calls(table._jdf.queryExecution().analyzed(), python_call):
        record = functions.get(str(call.name()))
        if record is None:
            continue
        arguments = [_read_argument(each) for each in _each(call.children())]
        Parameters.of(record).match(arguments)
        if any(_has_text(argument.kind) for argument in arguments):
            set_batch_sizes(table.sparkSession, contents="text")


def _find_calls(plan: Any, python_call: Any) -> Iterator[Any]:
    """Yield the calls of Python functions in a plan, also those in subqueries."""
    if plan.getClass().getSimpleName() == "View" or not plan.containsPattern(python_call):
        return
    for inner in (*_each(plan.children()), *_each(plan.subqueries())):
        yield from _find_calls(inner, python_call)
    for expression in _each(plan.expressions()):
        yield from _find_calls_inside(expression, python_call)


def _find_calls_inside(expression: Any, python_call: Any) -> Iterator[Any]:
    """Yield the calls of Python functions in an expression, inner ones first."""
    if not expression.containsPattern(python_call):
        return
    for child in _each(expression.children()):
        yield from _find_calls_inside(child, python_call)
    if expression.getClass().getSimpleName() == "PythonUDF":
        yield expression


def _each(sequence: Any) -> list[Any]:
    """Return the items of a Scala sequence."""
    return [sequence.apply(position) for position in range(sequence.size())]


def _read_argument(expression: Any) -> Argument:
    is_column = expression.getClass().getSimpleName() == "AttributeReference"
    return Argument(_read_type(json.loads(expression.dataType().json())), str(expression.name()) if is_column else None)


def _read_type(document: Any) -> pa.DataType:
    """Return the Arrow type of a type of Spark as JSON. The names of a struct's fields may be any text."""
    from pyspark.sql.types import StructType, _parse_datatype_json_value

    found = _parse_datatype_json_value(document)
    if isinstance(found, StructType):
        return pa.struct([pa.field(field.name, parse_type(field.dataType.simpleString())) for field in found])
    return parse_type(found.simpleString())


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) and not is_vector(kind):
        return any(_has_text(field.type) for field in kind)
    return pa.types.is_map(kind) or (is_list(kind) and _has_text(kind.value_type)) or name_type(kind) in ("string", "binary")


def explain_misuse(error: AnalysisException, functions: Mapping[str, FunctionRecord]) -> InputError | None:
    """Return Spark's error about the type of an expression with what the function in it returns; None if it is about none.

    Spark names the expression in the parameters of its error, not in a form that a program can read.
    """
    texts = [str(value) for value in (error.getMessageParameters() or {}).values()]
    for name, record in functions.items():
        call = re.compile(rf"\b{re.escape(name)}\(", re.IGNORECASE)
        if any(call.search(text) for text in texts):
            return InputError(f"{translate(error).message}; {name} returns {_explain_type(name, record.returns)}")
    return None


def _explain_type(name: str, returns: str) -> str:
    kind = parse_type(returns)
    if is_vector(kind):
        return f"a vector: vec_array({name}(…))[0] is its first number, vec_argmax({name}(…)) the position of its greatest"
    if pa.types.is_struct(kind):
        return f"{returns}: {name}(…).{kind.field(0).name} is its first field"
    return f"{returns}: {name}(…)[0] is its first value" if is_list(kind) else returns
