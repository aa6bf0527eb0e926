"""The Spark application: reads a plan, runs it, writes its result.

``spark-submit … launcher.py --plan URI --result URI``; the exit code is 0 when the plan succeeded, 1 when it did not. The
result is written either way, so a missing one means that the application was killed.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence

from mlsql_runtime import codec, engine, result
from mlsql_runtime.live import say
from mlsql_runtime.plan import Plan, load_plan
from mlsql_runtime.result import RunResult
from mlsql_runtime.spark_errors import translate
from mlsql_runtime.store.location import Location


def main(argv: Sequence[str] | None = None) -> int:
    """Run the plan that the arguments name; answers the exit code."""
    parser = argparse.ArgumentParser(prog="mlsql-app", description=__doc__)
    parser.add_argument("--plan", required=True, help="URI of the plan, JSON")
    parser.add_argument("--result", required=True, help="URI to write the result to, JSON")
    args = parser.parse_args(argv)
    plan = load_plan(Location.of(args.plan).read(), args.plan)
    outcome = run(plan)
    Location.of(args.result).replace(codec.dumps(outcome).encode())
    return 0 if outcome.is_successful else 1


def run(plan: Plan) -> RunResult:
    """Run the plan on the session that spark-submit configured, and stop it."""
    from pyspark.sql import SparkSession

    try:
        spark = SparkSession.builder.getOrCreate()
    except Exception as error:
        traceback.print_exc()
        return result.failed(plan.job_id, (), translate(error))
    context = spark.sparkContext
    say(f"Spark {spark.version} on {context.master}, application {context.applicationId}, {context.uiWebUrl or 'no UI'}")
    try:
        return engine.run(plan, spark)
    finally:
        spark.stop()


if __name__ == "__main__":
    sys.exit(main())
