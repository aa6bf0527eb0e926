"""MLSQL text to the statements of a plan. Imports no pyspark."""

from mlsql_runtime.errors import Origin
from mlsql_runtime.language.compiler import CompiledScript, check_script, compile_script

__all__ = ["CompiledScript", "Origin", "check_script", "compile_script"]
