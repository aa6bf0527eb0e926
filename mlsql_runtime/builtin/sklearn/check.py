"""Check the estimators and scorers of all fit groups before any data move; print a line for each group that cannot be trained."""

import json
import sys
from collections.abc import Mapping

import mlsql
from estimators import make_estimator
from scores import make_score

WORDS = {True: "max", False: "min"}


def problem(params: Mapping[str, str], greater_is_better: bool) -> str | None:
    """Return why a group cannot be trained, or not be compared with the others; None when it can."""
    try:
        score = make_score(params, make_estimator(params))
    except ValueError as error:
        return str(error)
    if score is None or score.greater_is_better == greater_is_better:
        return None
    better = "greater" if score.greater_is_better else "smaller"
    asked, right = WORDS[greater_is_better], WORDS[score.greater_is_better]
    return (
        f"{score.name} is {better} when it is better, but scoreMode is {asked}, so that the worst group would be the best; "
        f"set scoreMode to {right} (greater_is_better={score.greater_is_better}), or name another scorer"
    )


def main() -> int:
    """Print the problems, and return the exit code: 0 without problems."""
    problems = 0
    for index, params in enumerate(json.loads(mlsql.fit_param["groups"])):
        found = problem(params, mlsql.fit_param["scoreMode"] == WORDS[True])
        if found is not None:
            problems += 1
            print(f"fitParam.{index}: {found}")
    return 1 if problems else 0


sys.exit(main())
