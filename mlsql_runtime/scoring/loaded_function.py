"""A function that can be called in this process, made from the record of its package, its pickle and its model."""

from __future__ import annotations

import socket
import sys
import warnings
from dataclasses import dataclass, field

import pyarrow as pa

from mlsql_runtime.errors import InterpreterError, ScriptFailed
from mlsql_runtime.scoring.arguments import Argument, Call, Parameters
from mlsql_runtime.scoring.batch_scorer import BatchFunction, BatchScorer
from mlsql_runtime.scoring.row_scorer import RowScorer
from mlsql_runtime.scoring.scorer import Scorer
from mlsql_runtime.script import code_pickle
from mlsql_runtime.script.model_packages import describe_other_packages
from mlsql_runtime.store.function_records import FunctionRecord


@dataclass(frozen=True)
class LoadedFunction:
    """A function that can be called in this process. ``calls`` are the ways it has been called, by the types of the arguments."""

    record: FunctionRecord
    scorer: Scorer
    parameters: Parameters
    calls: dict[tuple[pa.DataType, ...], Call] = field(default_factory=dict)

    def score(self, partition: int, *arguments: pa.Array) -> pa.Array:
        """Return a result of the declared type for each row.

        :raises InputError: for arguments of other types than the function takes; the message names all of them.
        :raises DataError: for vectors of another width than in training; the message names both.
        :raises ScriptFailed: when the function fails or its result breaks its contract.
        """
        kinds = tuple(argument.type for argument in arguments)
        if (call := self.calls.get(kinds)) is None:
            call = self.calls[kinds] = self.parameters.match([Argument(kind) for kind in kinds])
        width = self.record.feature_width if self.parameters.width is None else self.parameters.width
        return self.scorer.score(partition, call.collect(arguments), width)


def check_python(record: FunctionRecord) -> None:
    """Check that this Python understands the byte code of a pickled function, as only the same minor version does.

    :raises InterpreterError: for another one.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if record.python != here:
        raise InterpreterError(
            f"function {record.function} was registered under Python {record.python} and is called under Python {here}; "
            f"register it again with Python {here}, or run the job with Python {record.python}",
            expected=record.python,
            found=here,
        )


def make_function(record: FunctionRecord, pickled: bytes, model_dir: str) -> LoadedFunction:
    """Return the function of a package whose files have been compared with their digests.

    :param pickled: the content of the package's pickle.
    :param model_dir: the local folder with the files of the fit group's model.
    :raises ScriptFailed: when the function cannot be unpickled here, or cannot load its model.
    """
    return LoadedFunction(record, _make_scorer(record, pickled, model_dir), Parameters.of(record))


def _make_scorer(record: FunctionRecord, pickled: bytes, model_dir: str) -> Scorer:
    warnings.filterwarnings("ignore", "Trying to unpickle estimator")  # the driver has logged it
    try:
        function = code_pickle.loads(pickled)
    except (Exception, SystemExit) as error:
        raise ScriptFailed(
            f"function {record.function} cannot be loaded on {socket.gethostname()}: {type(error).__name__}: {error}"
            + (describe_other_packages(record.packages) or "; install the modules that it was registered with")
        ) from error
    if record.contract == "row":
        return RowScorer(record.function, function, model_dir, record.train_params)
    try:
        return BatchScorer(record.function, BatchFunction(**function), model_dir, record.input, record.returns)
    except ScriptFailed as error:
        others = describe_other_packages(record.packages)
        if others in error.message:
            raise
        raise ScriptFailed(error.message + others) from error
