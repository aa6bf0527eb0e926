"""One handler per statement. Each takes the statement and the job's :class:`~mlsql_runtime.run_context.RunContext`."""
