"""Batches of vectors: Spark does not measure those that are small anyway, and what a user has chosen stays."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from mlsql_runtime.scoring.arrow_batching import BYTES, ROWS, Contents, limit_batch_bytes, set_batch_sizes

SPARKS = ("10000", "67108864b")
UNMEASURED = ("10000", "2147483647")
SHORT = ("1000", "67108864b")
BOTH = ("1000", "2147483647")


@pytest.fixture
def session(spark: SparkSession) -> SparkSession:
    """A session in which no function has been registered."""
    return spark.newSession()


def sizes(session: SparkSession) -> tuple[str | None, str | None]:
    return session.conf.get(ROWS), session.conf.get(BYTES)


@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        ((), SPARKS),
        ((10,), UNMEASURED),
        ((1000, 10), UNMEASURED),
        ((10, 1001), SHORT),
        ((1001, 10), SHORT),
        ((0,), SHORT),
        ((10, 0), BOTH),
        ((0, 10), BOTH),
        ((0, 1001, 10, 0), SHORT),
    ],
)
def test_the_widest_function_of_a_session_decides(
    session: SparkSession, widths: tuple[int, ...], expected: tuple[str, str]
) -> None:
    for width in widths:
        set_batch_sizes(session, width)
    assert sizes(session) == expected


@pytest.mark.parametrize(
    ("functions", "expected"),
    [
        ([(5, "text")], SPARKS),
        ([(30, "columns")], UNMEASURED),
        ([(1001, "columns")], SHORT),
        ([(30, "columns"), (5, "text")], SPARKS),
        ([(30, "columns"), (10, "vectors")], UNMEASURED),
        ([(30, "vectors"), (5, "text")], SHORT),
        ([(30, "columns"), (0, "vectors")], BOTH),
        ([(5, "text"), (0, "vectors")], SHORT),
    ],
)
def test_batches_of_text_are_measured(
    session: SparkSession, functions: list[tuple[int, Contents]], expected: tuple[str, str]
) -> None:
    for width, contents in functions:
        set_batch_sizes(session, width, contents)
    assert sizes(session) == expected


@pytest.mark.parametrize(("name", "value"), [(ROWS, "500"), (ROWS, "20000"), (BYTES, "1048576b")])
def test_what_the_user_has_chosen_stays(session: SparkSession, name: str, value: str) -> None:
    session.conf.set(name, value)
    before = sizes(session)
    set_batch_sizes(session, 10)
    set_batch_sizes(session, 10_000)
    assert sizes(session) == before


def test_other_work_is_measured(session: SparkSession) -> None:
    set_batch_sizes(session, 10)
    with limit_batch_bytes(session):
        assert sizes(session) == SPARKS
    assert sizes(session) == UNMEASURED
    session.conf.set(BYTES, "1048576b")
    with limit_batch_bytes(session):
        assert sizes(session) == ("10000", "1048576b")
