"""What a function is called with, and what it returns. Standard library only, and short: what scripts import reads it."""

from __future__ import annotations

from typing import Literal

Contract = Literal["row", "batch"]  # what a function is called with: a row or a batch
FunctionInput = Literal["matrix", "frame"]  # what a batch function gets
VECTOR = "vector"  # what a function returns, unless a type of Spark
