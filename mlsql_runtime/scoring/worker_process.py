"""A function in a new process of Python, as Spark's Python workers call it, for jobs that have started no Spark."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from mlsql_runtime import codec, errors
from mlsql_runtime.errors import JobFailed
from mlsql_runtime.plan import NO_ACCESS, StorageAccess
from mlsql_runtime.store.function_records import FunctionRecord

if TYPE_CHECKING:
    import pyarrow as pa


def score_in_worker(record: FunctionRecord, columns: pa.Table, access: StorageAccess = NO_ACCESS) -> pa.Array:
    """Return the predictions of the Spark function for the rows of a table, as one batch.

    :param access: connections to the storage of package and model; they travel through a pipe.
    :raises MLSQLError: what the function raises.
    :raises JobFailed: when the process ends by itself.
    """
    import pyarrow as pa

    batch = columns.combine_chunks().to_batches()[0]
    with start_worker() as worker:
        try:
            done = worker.submit(_score, codec.dumps(record), _write(batch), access).result()
        except BrokenProcessPool as error:
            raise JobFailed(f"the process in which function {record.function} was tried has ended; see the log above") from error
    if isinstance(done, dict):
        raise errors.from_json(done)
    return _read(pa.py_buffer(done)).column(0)


def start_worker() -> ProcessPoolExecutor:
    """Return a pool of one new process, which ends when this one is killed; by itself it would wait for ever then."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="mlsql-parent", daemon=True).start()


def _score(document: str, batch: bytes, access: StorageAccess) -> bytes | dict[str, Any]:
    """Return the predictions for a batch, or an error of ours as JSON. Nothing that counts cores may be imported before."""
    from mlsql_runtime.script.thread_limits import limit_threads

    limit_threads(1)
    import pyarrow as pa
    from pyspark.util import PythonEvalType

    from mlsql_runtime.scoring.udf import make_udf
    from mlsql_runtime.spark_errors import TaskError

    function = make_udf(codec.loads(FunctionRecord, document, "the record of a function"), access)
    columns = tuple(_read(pa.py_buffer(batch)).columns)
    try:
        if function.evalType == PythonEvalType.SQL_SCALAR_ARROW_ITER_UDF:
            [scored] = function.func(iter([columns if len(columns) > 1 else columns[0]]))
        else:
            scored = function.func(*columns)
    except TaskError as error:
        return error.document
    return _write(pa.RecordBatch.from_arrays([scored], ["prediction"]))


def _write(batch: pa.RecordBatch) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _read(stream: pa.Buffer) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.ipc.open_stream(stream).read_next_batch()
