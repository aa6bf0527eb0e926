"""The ``mlsql`` command: one module per command, in ``main`` what they share of errors and exit codes."""
