"""A query that reads one table of Parquet files, as steps over its columns; found in the plan that Spark has analysed.

Only plans of projections and filters are read, of expressions that :mod:`mlsql_runtime.parquet_queries.expressions` has. Spark
answers all other queries.
"""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlsql_runtime.feed.decoding.sql_types import parse_type
from mlsql_runtime.feed.table_facts import arrow_schema
from mlsql_runtime.parquet_queries.expressions import (
    And,
    Call,
    Cast,
    Column,
    Compare,
    Constant,
    Expression,
    Field,
    IsNull,
    Not,
    Or,
    Rows,
    Struct,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import DataType

_FUNCTION = "org.apache.spark.sql.catalyst.expressions.PythonUDF"
_ARROW_FUNCTION = 250  # PySpark's number for functions over Arrow arrays, one batch at a time
_COMPARISONS = {
    "EqualTo": ("equal", "equal"),
    "LessThan": ("less", "greater"),
    "LessThanOrEqual": ("less_equal", "greater_equal"),
    "GreaterThan": ("greater", "less"),
    "GreaterThanOrEqual": ("greater_equal", "less_equal"),
}  # and what each is with its sides exchanged
_MAX_VALUES = 100  # of a list after in
_PASSED_THROUGH = {"SubqueryAlias", "View"}


class LeftToSpark(Exception):
    """A query that is left to Spark; the message is the reason."""


@dataclass(frozen=True)
class Filter:
    """Keep the rows for which a condition is true."""

    condition: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.condition,)

    @property
    def columns(self) -> frozenset[int]:
        return self.condition.columns

    def apply(self, rows: Rows) -> Rows:
        return rows.filter(self.condition.evaluate(rows))


@dataclass(frozen=True)
class Project:
    """Replace the columns by expressions, by their numbers."""

    expressions: Mapping[int, Expression]

    @property
    def parts(self) -> tuple[Expression, ...]:
        return tuple(self.expressions.values())

    @property
    def columns(self) -> frozenset[int]:
        return frozenset().union(*(expression.columns for expression in self.expressions.values()))

    def apply(self, rows: Rows) -> Rows:
        return Rows(rows.count, {number: each.evaluate(rows) for number, each in self.expressions.items()})


Step = Filter | Project


@dataclass(frozen=True)
class Query:
    """A query: the ``steps`` from the columns of a relation, by their numbers, to the columns of its result, in order.

    ``relation`` is Spark's node of the table. ``inputs`` are the names and types of the columns that are needed.
    """

    relation: Any
    inputs: Mapping[int, tuple[str, DataType]]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    @property
    def functions(self) -> frozenset[str]:
        """The names of the functions of Python that it calls."""
        return frozenset().union(*(each.functions for step in self.steps for each in step.parts))

    @property
    def plain_columns(self) -> tuple[int, ...]:
        """The column of the relation that each column of the result is.

        :raises LeftToSpark: when the query has conditions, or computes a column.
        """
        found = {number: number for number in self.inputs}
        for step in self.steps:
            if isinstance(step, Filter):
                raise LeftToSpark("it has conditions")
            if any(not isinstance(each, Column) for each in step.parts):
                raise LeftToSpark("it computes columns")
            found = {number: found[each.number] for number, each in step.expressions.items() if isinstance(each, Column)}
        return tuple(found[number] for number in self.outputs)

    @property
    def first_conditions(self) -> tuple[Expression, ...]:
        """Conditions of the columns of the relation, which call no function."""
        first = itertools.takewhile(lambda step: isinstance(step, Filter), self.steps)
        return tuple(each for step in first for each in step.parts if not each.functions)


def calls_function(table: DataFrame) -> bool:
    """Return whether a query calls a function of Python."""
    return _FUNCTION in table._jdf.queryExecution().analyzed().toJSON()


def read_query(table: DataFrame) -> Query:
    """Return the query of a table.

    :raises LeftToSpark: with the reason.
    """
    spark = table.sparkSession
    plan = table._jdf.queryExecution().analyzed()
    nodes = json.loads(plan.toJSON())
    steps: list[Step] = []
    outputs: tuple[int, ...] | None = None
    for document in nodes:
        kind = _kind(document)
        if kind == "LogicalRelation":
            return _finish(plan, document, steps, outputs)
        if kind == "Project":
            numbers, project = _read_project(plan, document["projectList"], spark)
            outputs = outputs or numbers
            steps.insert(0, project)
        elif kind == "Filter":
            steps[:0] = [
                Filter(each) for each in _split(_Reader(spark, plan.expressions().apply(0), document["condition"]).read())
            ]
        elif kind not in _PASSED_THROUGH:
            break
        plan = plan.children().apply(0)
    raise LeftToSpark(f"it is more than columns and filters of one table: {kind}")


def _finish(relation: Any, document: Mapping[str, Any], steps: Sequence[Step], outputs: tuple[int, ...] | None) -> Query:
    from pyspark.sql.types import StructType

    columns = [each[0] for each in document["output"]]
    fields = [{"name": each["name"], "type": each["dataType"], "nullable": True, "metadata": {}} for each in columns]
    types = StructType.fromJson({"type": "struct", "fields": fields})
    known = {each["exprId"]["id"]: (field.name, field.dataType) for each, field in zip(columns, types, strict=True)}
    outputs = outputs if outputs is not None else tuple(known)
    steps = _prune(_filter_early(steps), frozenset(outputs))
    needed = _find_needed(steps, frozenset(outputs))
    stored = set(map(str, relation.relation().schema().fieldNames()))
    if any(number not in known or known[number][0] not in stored for number in needed):  # such as _metadata
        raise LeftToSpark("it reads columns that are not in the files")
    return Query(relation, {number: known[number] for number in known if number in needed}, tuple(steps), outputs)


def _filter_early(steps: Sequence[Step]) -> list[Step]:
    """Return the steps with each filter that calls no function as early as it can be, as Spark orders them: functions see only
    rows that pass these filters.
    """
    ordered: list[Step] = []
    for step in steps:
        place = len(ordered)
        while isinstance(step, Filter) and not step.condition.functions and place:
            before = ordered[place - 1]
            if isinstance(before, Project):
                if any(before.expressions[number].functions for number in step.columns):
                    break
                step = Filter(_replace_columns(step.condition, before.expressions))
            place -= 1
        ordered.insert(place, step)
    return ordered


def _replace_columns(expression: Expression, columns: Mapping[int, Expression]) -> Expression:
    """Return an expression with other expressions for its columns."""
    if isinstance(expression, Column):
        return columns[expression.number]

    def replaced(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(replaced, value))
        return _replace_columns(value, columns) if isinstance(value, Expression) else value

    return type(expression)(**{name: replaced(value) for name, value in vars(expression).items()})


def _prune(steps: Sequence[Step], needed: frozenset[int]) -> list[Step]:
    """Return the steps without the expressions that no later step uses."""
    kept: list[Step] = []
    for step in reversed(steps):
        if isinstance(step, Project):
            step = Project({number: each for number, each in step.expressions.items() if number in needed})
            needed = step.columns
        else:
            needed |= step.columns
        kept.insert(0, step)
    return kept


def _find_needed(steps: Sequence[Step], outputs: frozenset[int]) -> frozenset[int]:
    """Return the columns of the relation that pruned steps need."""
    needed = outputs
    for step in reversed(steps):
        needed = step.columns if isinstance(step, Project) else needed | step.columns
    return needed


def _split(condition: Expression) -> list[Expression]:
    """Return the conditions that must all be true."""
    return [each for value in condition.values for each in _split(value)] if isinstance(condition, And) else [condition]


def _read_project(
    plan: Any, documents: Sequence[Sequence[Mapping[str, Any]]], spark: SparkSession
) -> tuple[tuple[int, ...], Project]:
    expressions = {}
    numbers = []
    for place, document in enumerate(documents):
        number = document[0].get("exprId", {}).get("id")
        if number is None:
            raise LeftToSpark(f"it computes {_kind(document[0])}")
        if number not in expressions:
            expressions[number] = _Reader(spark, plan.expressions().apply(place), document).read()
        numbers.append(number)
    return tuple(numbers), Project(expressions)


class _Reader:
    """Read one expression: Spark's JSON of it, and Spark's own object for what the JSON does not hold."""

    def __init__(self, spark: SparkSession, expression: Any, document: Sequence[Mapping[str, Any]]) -> None:
        self._spark, self._expression, self._document = spark, expression, document
        self._next = 0

    def read(self, path: tuple[int, ...] = ()) -> Expression:
        """Return the expression at the next place of the document, which is at ``path`` in Spark's tree."""
        node = self._document[self._next]
        kind = _kind(node)
        if kind == "AttributeReference":
            self._next += 1
            return Column(node["exprId"]["id"])
        if kind != "Alias" and self._is_constant():
            return self._read_constant(path)
        self._next += 1
        count = node["num-children"]
        parts = [self.read((*path, position)) for position in range(count)]
        if kind == "Alias":
            return parts[0]
        if kind == "PythonUDF":
            return self._read_call(node, path, parts)
        if kind == "CreateNamedStruct":
            return self._read_struct(path, parts)
        if kind == "GetStructField":
            return Field(parts[0], node["ordinal"])
        return self._read_condition(kind, node, path, parts)

    def _read_condition(self, kind: str, node: Mapping[str, Any], path: tuple[int, ...], parts: list[Expression]) -> Expression:
        if kind in _COMPARISONS:
            return _compare(kind, parts[0], parts[1])
        if kind == "In":
            if len(parts) > _MAX_VALUES:
                raise LeftToSpark(f"it compares with {len(parts) - 1} values")
            return Or(tuple(_compare("EqualTo", parts[0], each) for each in parts[1:]))
        if kind == "And":
            return And(tuple(parts))
        if kind == "Or":
            return Or(tuple(parts))
        if kind == "Not":
            return Not(parts[0])
        if kind == "IsNull":
            return IsNull(parts[0])
        if kind == "IsNotNull":
            return Not(IsNull(parts[0]))
        if kind == "Cast":
            given = str(self._find(path).child().dataType().catalogString())
            return _widen(parts[0], given, str(self._find(path).dataType().catalogString()))
        raise LeftToSpark(f"it computes {kind}")

    def _is_constant(self) -> bool:
        """Return whether the next expression is a literal, or one below a cast."""
        node = self._document[self._next]
        if _kind(node) == "Cast":
            node = self._document[self._next + 1]
        return _kind(node) == "Literal"

    def _read_constant(self, path: tuple[int, ...]) -> Expression:
        self._next += 2 if _kind(self._document[self._next]) == "Cast" else 1
        expression = self._find(path)
        name = str(expression.dataType().simpleString())
        value = expression.eval(None)  # as Spark itself keeps it: days for dates
        if name == "string":
            value = None if value is None else value.toString()
        if name not in _CONSTANTS:
            raise LeftToSpark(f"it has a constant of type {name}")
        if value != value:
            raise LeftToSpark("it has a constant NaN")
        return Constant(pa.scalar(value, parse_type(name)))

    def _read_call(self, node: Mapping[str, Any], path: tuple[int, ...], parts: list[Expression]) -> Expression:
        if node["evalType"] != _ARROW_FUNCTION or not node["udfDeterministic"]:
            raise LeftToSpark(f"{node['name']} is another kind of function")
        command = self._find(path).func().command()
        data = bytes(command.unsafeArray())
        if not isinstance(pickle.loads(data), tuple):  # a broadcast of the function, which is big
            raise LeftToSpark(f"{node['name']} is too big")
        return Call(node["name"], data, tuple(parts))

    def _read_struct(self, path: tuple[int, ...], parts: list[Expression]) -> Expression:
        from pyspark.sql.types import StructType

        kind = StructType.fromJson(json.loads(self._find(path).dataType().json()))
        return Struct(pa.struct(list(arrow_schema(kind, self._spark))), tuple(parts[1::2]))

    def _find(self, path: tuple[int, ...]) -> Any:
        found = self._expression
        for position in path:
            found = found.children().apply(position)
        return found


_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double")
_CONSTANTS = (*_NUMBERS, "boolean", "string", "date", "timestamp", "timestamp_ntz")
_WIDER_SQL = {
    "tinyint": _NUMBERS[1:],
    "smallint": _NUMBERS[2:],
    "int": ("bigint", "double"),
    "bigint": ("double",),
    "float": ("double",),
}


def _widen(value: Expression, given: str, wanted: str) -> Expression:
    if given == wanted:
        return value
    if wanted not in _WIDER_SQL.get(given, ()):
        raise LeftToSpark(f"it converts {given} to {wanted}")
    return Cast(value, parse_type(wanted))


def _compare(kind: str, left: Expression, right: Expression) -> Expression:
    operation, exchanged = _COMPARISONS[kind]
    if isinstance(left, Constant):
        left, right, operation = right, left, exchanged
    if isinstance(left, Constant) or not isinstance(right, Constant) or not right.value.is_valid:
        raise LeftToSpark("it compares with more than a constant")
    return Compare(operation, left, right.value)


def _kind(node: Mapping[str, Any]) -> str:
    return str(node["class"]).rsplit(".", 1)[-1]
