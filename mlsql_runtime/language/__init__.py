"""MLSQL text to the statements of a plan. Imports no pyspark."""

from mlsql_runtime.language.compiler import CompiledScript, check_script, compile_script
from mlsql_runtime.language.source import Origin

__all__ = ["CompiledScript", "Origin", "check_script", "compile_script"]
