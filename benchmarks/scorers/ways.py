"""A way to score a table: what is timed, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import Timed, interleaved

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

CHECKED = 1000  # rows whose answers are compared before anything is timed
Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Way:
    """``run`` scores ``rows`` rows. ``answers`` gives those to the first :data:`CHECKED`; None for a way that answers nothing."""

    name: str
    rows: int
    run: Callable[[], object]
    answers: Callable[[], Numbers] | None


def in_spark(name: str, table: DataFrame, column: Column, *, is_vector: bool = False, is_checked: bool = True) -> Way:
    """Return a way that scores a column of ``table``, which has an id; its results are numbers, or vectors of one number each."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql.functions import col

    def run() -> None:
        table.select(column.alias("answer")).write.format("noop").mode("overwrite").save()

    def answers() -> Numbers:
        number = vector_to_array(column)[0] if is_vector else column
        rows = table.where(col("id") < CHECKED).select("id", number.cast("double").alias("answer")).orderBy("id")
        return np.array([row.answer for row in rows.collect()])

    return Way(name, table.count(), run, answers if is_checked else None)


def check(ways: Sequence[Way], expected: Numbers) -> None:
    """Compare the answers of all ways with scikit-learn's own.

    :raises SystemExit: naming the way and the first row that differs.
    """
    for way in ways:
        if way.answers is None:
            continue
        answers = way.answers()
        if answers.shape != expected.shape:
            raise SystemExit(f"{way.name}: expected {len(expected)} answers, got {len(answers)}")
        wrong = np.flatnonzero(answers != expected)
        if len(wrong):
            row = wrong[0]
            raise SystemExit(f"{way.name}: row {row}: expected {expected[row]}, got {answers[row]}; {len(wrong)} rows are wrong")


def time_for_a_row(ways: Sequence[Way]) -> dict[str, Timed]:
    """Seconds that each way takes for a row, in interleaved rounds."""

    def runner(way: Way) -> Callable[[object], object]:
        return lambda _: way.run()

    took = interleaved({way.name: runner(way) for way in ways})
    return {way.name: took[way.name].per(way.rows) for way in ways}
