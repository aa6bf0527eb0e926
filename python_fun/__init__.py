"""Register the predict function of a script: ``import python_fun``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Literal

import mlsql_model

from mlsql_runtime import codec
from mlsql_runtime.script.current_job import current_job, registration_hint
from mlsql_runtime.script.protocol import Handover, handover_file

__all__ = ["batch_udf", "udf"]


def batch_udf(
    predict_batch: Callable[[Any, Any], Any],
    load: Callable[[str], Any] = mlsql_model.load,
    *,
    sparse: bool | None = None,
    input: Literal["matrix", "frame"] = "matrix",
    returns: str = "vector",
) -> None:
    """Register ``predict_batch(X, model)``, which predicts many rows at a time.

    ``X`` has shape (n, d) with n ≥ 1; its columns are the feature columns of the training. With ``input="matrix"`` it is a
    ``scipy.sparse.csr_matrix`` when all rows of the batch are sparse vectors, else a float64 ndarray, which may be a read-only
    view of Spark's memory. Rows with a null are not part of it; their prediction is null. With ``input="frame"`` it is a pandas
    DataFrame with the names and types of ``mlsql.read_frames``, nulls included.

    The function returns n values of the type that ``returns`` declares: an array, a list or a Series; for a struct, a DataFrame
    or a dict of these by field; for ``vector``, numbers of shape (n,) or (n, k), which become vectors of width 1 or k, or a SciPy
    matrix, which gives sparse vectors. A prediction must not depend on the other rows of its batch, because Spark chooses the
    batches.

    Outside of a registration, print how to register the script, and do nothing.

    :param load: ``load(model_dir)`` returns the model. It is called once in each Python worker. By default it loads what
        ``mlsql_model`` saved.
    :param sparse: True for X as a CSR matrix always, False for X as an ndarray always.
    :param input: ``"matrix"`` or ``"frame"``.
    :param returns: ``"vector"``, or a type of Spark in SQL, such as ``double``, ``string``, ``array<double>`` or
        ``struct<label: string, probability: double>``.
    :raises TypeError: when one of the functions cannot be called with these arguments, or an option has another value.
    """
    _check(predict_batch, "batch_udf", "predict_batch(X, model)", 2)
    _check(load, "batch_udf", "load(model_dir)", 1)
    if input not in ("matrix", "frame"):
        raise TypeError(f"python_fun.batch_udf: expected input='matrix' or 'frame', got {input!r}")
    if sparse not in (None, True, False) or (input == "frame" and sparse):
        expected = "sparse=None, True or False" if input == "matrix" else "no sparse=True with input='frame'"
        raise TypeError(f"python_fun.batch_udf: expected {expected}, got {sparse!r}")
    if not isinstance(returns, str):
        raise TypeError(f"python_fun.batch_udf: expected returns='vector' or a type such as 'double', got {returns!r}")
    handover = Handover(contract="batch", input=input, returns=returns)
    _hand_over(handover, {"predict": predict_batch, "load": load, "sparse": sparse}, "python_fun.batch_udf")


def udf(predict: Callable[[int, Iterator[bytes]], list[Any]]) -> None:
    """Register ``predict(index, s)``, which predicts one row at a time, as in MLSQL. :func:`batch_udf` is many times faster.

    ``index`` is the number of the Spark partition. ``s`` yields the pickled serialised vector, then the pickled
    ``[model_dir]``, then, when the registration asks for it, the pickled ``[options]``, a dict of all options of the training. It
    returns a list with one serialised vector: ``[VectorUDT().serialize(Vectors.dense(y))]``.

    Outside of a registration, print how to register the script, and do nothing.

    :raises TypeError: when the function cannot be called with two arguments.
    """
    _check(predict, "udf", "predict(index, s)", 2)
    _hand_over(Handover(contract="row"), predict, "python_fun.udf")


def _check(function: object, call: str, usage: str, arguments: int) -> None:
    try:
        inspect.signature(function).bind(*range(arguments))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise TypeError(f"python_fun.{call}: expected a function {usage}, got {function!r} ({error})") from None


def _hand_over(handover: Handover, function: object, call: str) -> None:
    """Write the pickled function where the registration reads it, and beside it how to call it.

    The script's own code and that of its project's modules is pickled by value, with the values that global variables have now:
    they may come from ``mlsql.fit_param``, which is not there where the function is called. The project's sources go along for
    what the function imports when it is called.
    """
    job = current_job()
    if job is None or job.function_file is None:
        print(registration_hint(call))
        return
    from mlsql_runtime.script.code_pickle import dump_with_code
    from mlsql_runtime.script.own_code import OwnCode

    names = function if isinstance(function, dict) else {"predict": function}
    with open(job.function_file, "wb") as stream:
        dump_with_code(names, function, stream, call, OwnCode.of_project(job.project), "pyspark.cloudpickle")
    with open(handover_file(job.function_file), "w", encoding="utf-8") as file:
        file.write(codec.dumps(handover))
