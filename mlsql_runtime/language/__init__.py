"""MLSQL text to the statements of a plan. Imports no pyspark."""

from mlsql_runtime.language.compiler import Compiled, check_script, compile_script
from mlsql_runtime.language.source import Origin

__all__ = ["Compiled", "Origin", "check_script", "compile_script"]
