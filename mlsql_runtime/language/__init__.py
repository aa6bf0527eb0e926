"""The compiler from MLSQL text to the statements of a plan. This package does not import pyspark."""

from mlsql_runtime.language.compiler import CompiledScript, check_script, compile_script
