"""Expressions of a query over Arrow arrays, with the results that Spark gives, nulls and NaN included.

What Arrow and Spark answer differently is left out: :mod:`mlsql_runtime.parquet_queries.query` then leaves the query to Spark.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Rows:
    """Columns of as many rows each, by Spark's numbers of their expressions (``exprId``).

    ``answers`` are the results of calls that were computed for these rows: equal calls are computed once.
    """

    count: int
    columns: Mapping[int, pa.Array]
    answers: dict[Expression, pa.Array] = field(default_factory=dict)

    def filter(self, mask: pa.Array) -> Rows:
        """Return the rows for which the mask is true; null counts as false."""
        kept = pc.sum(mask).as_py() or 0
        if kept == self.count:
            return self
        return Rows(kept, {number: array.filter(mask) for number, array in self.columns.items()} if kept else {})


@dataclass(frozen=True)
class Expression:
    """What a query computes from the columns of its rows."""

    def evaluate(self, rows: Rows) -> pa.Array:
        """Return a value for each row."""
        raise NotImplementedError

    @property
    def parts(self) -> Iterator[Expression]:
        """The expressions that this one is made from."""
        for each_field in fields(self):
            value = getattr(self, each_field.name)
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, Expression):
                    yield each

    @property
    def columns(self) -> frozenset[int]:
        """The columns that it reads."""
        return frozenset().union(*(part.columns for part in self.parts))

    @property
    def functions(self) -> frozenset[str]:
        """The names of the functions of Python that it calls."""
        return frozenset().union(*(part.functions for part in self.parts))


@dataclass(frozen=True)
class Column(Expression):
    """A column, by its number."""

    number: int

    @property
    def columns(self) -> frozenset[int]:
        return frozenset({self.number})

    def evaluate(self, rows: Rows) -> pa.Array:
        return rows.columns[self.number]


@dataclass(frozen=True)
class Constant(Expression):
    """One value for all rows."""

    value: pa.Scalar

    def evaluate(self, rows: Rows) -> pa.Array:
        return pa.repeat(self.value, rows.count)


@dataclass(frozen=True)
class Call(Expression):
    """A call of an Arrow function. ``command`` is how Spark sends it to its workers, a pickle of function and type."""

    name: str
    command: bytes
    arguments: tuple[Expression, ...]

    @property
    def functions(self) -> frozenset[str]:
        return frozenset({self.name}).union(*(argument.functions for argument in self.arguments))

    def evaluate(self, rows: Rows) -> pa.Array:
        if self not in rows.answers:
            function = unpickle_function(self.command)
            rows.answers[self] = function(*(argument.evaluate(rows) for argument in self.arguments))
        return rows.answers[self]


@functools.cache
def unpickle_function(command: bytes) -> Callable[..., pa.Array]:
    """Return the function of a command. It keeps threads and devices of the task that calls it first, so that each task starts
    with an empty cache; models have a cache of their own.
    """
    function: Callable[..., pa.Array] = pickle.loads(command)[0]
    return function


@dataclass(frozen=True)
class Struct(Expression):
    """A struct of other expressions."""

    kind: pa.StructType
    values: tuple[Expression, ...]

    def evaluate(self, rows: Rows) -> pa.Array:
        given = [cast(value.evaluate(rows), field.type) for value, field in zip(self.values, self.kind, strict=True)]
        return pa.StructArray.from_arrays(given, fields=list(self.kind))


@dataclass(frozen=True)
class Field(Expression):
    """A field of a struct, null where the struct is."""

    struct: Expression
    position: int

    def evaluate(self, rows: Rows) -> pa.Array:
        return pc.struct_field(self.struct.evaluate(rows), [self.position])


@dataclass(frozen=True)
class Cast(Expression):
    """A number as one of a wider type, rounded as Java does where that has fewer digits."""

    value: Expression
    kind: pa.DataType

    def evaluate(self, rows: Rows) -> pa.Array:
        return cast(self.value.evaluate(rows), self.kind)


@dataclass(frozen=True)
class Compare(Expression):
    """A comparison with a constant: ``operation`` is one of pyarrow's, such as ``greater_equal``."""

    operation: str
    value: Expression
    constant: pa.Scalar

    def evaluate(self, rows: Rows) -> pa.Array:
        value = self.value.evaluate(rows)
        found = getattr(pc, self.operation)(value, self.constant)
        if self.operation.startswith("greater") and pa.types.is_floating(value.type):
            return pc.or_(found, pc.is_nan(value))  # to Spark, NaN is greater than any number
        return found


@dataclass(frozen=True)
class IsNull(Expression):
    """Whether a value is null."""

    value: Expression

    def evaluate(self, rows: Rows) -> pa.Array:
        return self.value.evaluate(rows).is_null()


@dataclass(frozen=True)
class Not(Expression):
    """The opposite; of null, null."""

    value: Expression

    def evaluate(self, rows: Rows) -> pa.Array:
        return pc.invert(self.value.evaluate(rows))


@dataclass(frozen=True)
class And(Expression):
    """Whether all are true, in the logic of SQL."""

    values: tuple[Expression, ...]

    def evaluate(self, rows: Rows) -> pa.Array:
        return functools.reduce(pc.and_kleene, (value.evaluate(rows) for value in self.values))


@dataclass(frozen=True)
class Or(Expression):
    """Whether one is true, in the logic of SQL."""

    values: tuple[Expression, ...]

    def evaluate(self, rows: Rows) -> pa.Array:
        return functools.reduce(pc.or_kleene, (value.evaluate(rows) for value in self.values))


def cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return an array as one of another type, which must hold its values."""
    return array if array.type == kind else pc.cast(array, kind, safe=False)
