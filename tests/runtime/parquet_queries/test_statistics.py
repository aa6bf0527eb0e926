"""Row groups that are left out have no row that a condition wants."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlsql_runtime.parquet_queries.expressions import And, Column, Compare, Expression, IsNull, Not, Or, Rows
from mlsql_runtime.parquet_queries.row_groups import DataFile, find_pieces
from mlsql_runtime.storage.location import Location

GROUP, GROUPS = 50, 8
COLUMNS = {"x": pa.float64(), "n": pa.int32(), "t": pa.string(), "d": pa.date32(), "at": pa.timestamp("us", "UTC")}
NUMBERS = {name: number for number, name in enumerate(COLUMNS)}


def make_table() -> pa.Table:
    """Return rows that grow from group to group; one group has NaN, one nulls, one nothing else."""
    numbers = [float(number) for number in range(GROUP * GROUPS)]
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
    values: dict[str, list[Any]] = {
        "x": list(numbers),
        "n": [int(number) for number in numbers],
        "t": [f"é{int(number):05}" for number in numbers],
        "d": [start.date() + datetime.timedelta(number) for number in numbers],
        "at": [start + datetime.timedelta(seconds=number) for number in numbers],
    }
    values["x"][GROUP + 3] = math.nan
    for column in values.values():
        column[2 * GROUP + 5] = None
        column[3 * GROUP : 4 * GROUP] = [None] * GROUP
    return pa.table({name: pa.array(values[name], kind) for name, kind in COLUMNS.items()})


TABLE = make_table()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Location:
    file = tmp_path_factory.mktemp("statistics") / "a.parquet"
    pq.write_table(TABLE, file, row_group_size=GROUP)
    return Location.of(str(file))


def groups_of(place: Location, *conditions: Expression) -> list[int]:
    columns = {NUMBERS[name]: (name, kind) for name, kind in COLUMNS.items()}
    options: dict[str, Any] = {"is_case_sensitive": False, "reads_ancient_times": True, "conditions": conditions}
    return [piece.group for piece in find_pieces([(DataFile(place.uri, {}), place)], columns, **options)]


def compare(name: str, operation: str, value: Any) -> Expression:
    return Compare(operation, Column(NUMBERS[name]), pa.scalar(value, COLUMNS[name]))


def test_groups_in_which_no_row_can_match_are_left_out(place: Location) -> None:
    assert groups_of(place) == list(range(GROUPS))
    assert groups_of(place, compare("n", "less", 60)) == [0, 1]
    assert groups_of(place, compare("n", "equal", 60)) == [1]
    assert groups_of(place, compare("n", "greater_equal", 349), compare("n", "less", 350)) == [6]
    assert groups_of(place, compare("x", "greater", 349.0)) == [0, 1, 2, 4, 5, 6, 7]  # NaN is greater, and no statistics tell
    assert groups_of(place, compare("t", "less_equal", "é00049")) == [0]
    assert groups_of(place, compare("d", "less", datetime.date(2024, 1, 11))) == [0]
    assert groups_of(place, compare("at", "less", datetime.datetime(2024, 1, 1, 0, 0, 9, tzinfo=datetime.timezone.utc))) == [0]
    assert groups_of(place, IsNull(Column(NUMBERS["n"]))) == [2, 3]
    assert groups_of(place, Not(IsNull(Column(NUMBERS["n"])))) == [0, 1, 2, 4, 5, 6, 7]
    assert groups_of(place, Or((compare("n", "less", 10), compare("n", "greater", 390)))) == [0, 7]


def test_one_group_stays_where_no_row_can_match(place: Location) -> None:
    assert groups_of(place, compare("n", "less", 0)) == [0]


def test_no_row_that_matches_is_in_a_group_that_is_left_out(place: Location) -> None:
    random = np.random.default_rng(0)
    rows = Rows(TABLE.num_rows, {NUMBERS[name]: TABLE.column(name).combine_chunks() for name in COLUMNS})

    def draw(depth: int) -> Expression:
        if depth and random.random() < 0.6:
            parts = tuple(draw(depth - 1) for _ in range(2))
            return random.choice([And, Or])(parts)  # type: ignore[no-any-return]
        name = str(random.choice(list(COLUMNS)))
        value = TABLE.column(name)[int(random.integers(TABLE.num_rows))]
        operation = str(random.choice(["equal", "less", "less_equal", "greater", "greater_equal"]))
        column = Column(NUMBERS[name])
        if not value.is_valid or (name == "x" and math.isnan(value.as_py())):
            return random.choice([IsNull(column), Not(IsNull(column))])  # type: ignore[arg-type, no-any-return]
        found: Expression = Compare(operation, column, value)
        return Not(found) if random.random() < 0.2 else found

    for _ in range(300):
        condition = draw(2)
        matches = condition.evaluate(rows).to_numpy(zero_copy_only=False).astype(object)
        wanted = {row // GROUP for row, is_match in enumerate(matches) if is_match is True}
        kept = set(groups_of(place, condition))
        assert wanted <= kept, condition
