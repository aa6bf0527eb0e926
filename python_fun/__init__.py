"""Hand a predict function over for registration: ``import python_fun``."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from mlsql_runtime.script.by_hand import outside_of_a_registration
from mlsql_runtime.script.protocol import current_input

__all__ = ["udf"]


def udf(predict: Callable[[int, Iterator[bytes]], list[Any]]) -> None:
    """Register ``predict(index, s)``, which answers one row at a time.

    ``index`` is the number of the Spark partition. ``s`` yields the pickled serialised vector, then the pickled
    ``[model_dir]``, then, when the registration asks for them, the pickled training parameters. It returns a list with
    one serialised vector: ``[VectorUDT().serialize(Vectors.dense(y))]``.

    Outside of a registration it says how to register the script, and does nothing.

    :raises TypeError: when it cannot be called with two arguments.
    """
    try:
        inspect.signature(predict).bind(0, ())
    except (TypeError, ValueError) as error:
        raise TypeError(f"python_fun.udf: expected a function predict(index, s), got {predict!r} ({error})") from None
    job = current_input()
    if job is None or job.function_file is None:
        print(outside_of_a_registration())
        return
    from pyspark import cloudpickle

    for module in list(sys.modules.values()):  # the script's own modules are not on the executors: they travel by value
        file = getattr(module, "__file__", None)
        if file and os.path.abspath(file).startswith(os.getcwd() + os.sep) and module.__name__ != "__main__":
            cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    with open(job.function_file, "wb") as stream:
        cloudpickle.dump(predict, stream, protocol=5)  # type: ignore[no-untyped-call]
