"""One handler per statement: a function of the statement and the run's :class:`~mlsql_runtime.run_context.RunContext`."""
