"""The parameters of a script, as dicts with the names that MLSQL gave them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from mlsql_runtime.script.current_job import current_job, require_job
from mlsql_runtime.script.data_request import await_data_files
from mlsql_runtime.script.protocol import ScriptInput

_Value = TypeVar("_Value")
_Default = TypeVar("_Default")
_DATA_PATH = "tempDataLocalPath"
_ABSENT = {  # parameters of MLSQL, and why they are missing
    _DATA_PATH: "because the data come through Kafka; read them with mlsql.read_data(), mlsql.read_batches() or "
    "mlsql.all_data(), or set enable_data_local (enableDataLocal) to true",
    "stopFlagNum": "because mlsql counts the records of a topic itself; read them with mlsql.read_data()",
    "tempResultLocalPath": "which was PythonAlgBatchPrediction's; write JSON lines to tempOutputLocalPath in a script of predict",
}


def script_job() -> ScriptInput:
    """Return the job that the script runs for.

    :raises RuntimeError: outside of a job, with how to run the script in one.
    """
    return require_job("mlsql has no parameters and no data")


class _Parameters(dict[str, _Value]):
    """Parameters of one kind. A missing one explains itself outside of a job, and where the data come through Kafka."""

    def __missing__(self, key: str) -> _Value:
        script_job()
        if key in _ABSENT:
            raise RuntimeError(f"there is no {key}, {_ABSENT[key]}")
        raise KeyError(key)

    def __reduce__(self) -> Any:
        return dict, (dict(self),)  # so that it can be unpickled without mlsql


class _FitParameters(_Parameters[str]):
    """The fit parameters. ``modelPath``, which MLSQL added to them, is there when it is asked for, and is not one of them."""

    def __missing__(self, key: str) -> str:
        if key == "modelPath" and (path := script_job().model_path) is not None:
            return path
        return super().__missing__(key)

    def get(self, key: str, default: Any = None) -> Any:
        job = current_job()
        is_path = key == "modelPath" and key not in self and job is not None and job.model_path is not None
        return self[key] if is_path else super().get(key, default)


class _LazyParameters(_Parameters[Any]):
    """Parameters with ``tempDataLocalPath``, a folder whose files are written when it is first read, in whichever way.

    ``__iter__`` is overridden because ``dict(…)``, ``{**…}`` and ``|`` then read the items through the methods of this class.
    """

    def __init__(self, values: Mapping[str, Any], request: str) -> None:
        super().__init__(values)
        self._request: str | None = request

    def _write_files(self, key: str = _DATA_PATH) -> None:
        if self._request is not None and key == _DATA_PATH:
            await_data_files(self._request)
            self._request = None

    def __getitem__(self, key: str) -> Any:
        self._write_files(key)
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def __repr__(self) -> str:
        self._write_files()
        return super().__repr__()

    def get(self, key: str, default: Any = None) -> Any:
        self._write_files(key)
        return super().get(key, default)

    def items(self) -> Any:
        self._write_files()
        return super().items()

    def values(self) -> Any:
        self._write_files()
        return super().values()

    def pop(self, key: str, *default: Any) -> Any:
        self._write_files(key)
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        self._write_files()
        return super().popitem()

    def setdefault(self, key: str, default: Any = None) -> Any:
        self._write_files(key)
        return super().setdefault(key, default)


def _parameters(kind: str) -> dict[str, Any]:
    job = current_job()
    values = job.params.get(kind, {}) if job else {}
    if job is not None and job.data_request is not None and _DATA_PATH in values:
        return _LazyParameters(values, job.data_request)
    return _FitParameters(values) if kind == "fitParam" else _Parameters(values)


def params() -> dict[str, dict[str, Any]]:
    """Return all parameters, as dicts under ``fitParam``, ``kafkaParam``, ``internalSystemParam`` and ``systemParam``.

    Scripts of predict and register have ``fitParams``, too, the options of their statement, and ``trainParams``, those of the
    training.
    """
    return {kind: _parameters(kind) for kind in script_job().params}


#: This group's ``fitParam.<i>.…``, as strings.
fit_param: dict[str, str] = _parameters("fitParam")
#: ``kafkaParam.…``, empty when the data are local files.
kafka_param: dict[str, str] = _parameters("kafkaParam")
#: ``tempDataLocalPath``, ``tempModelLocalPath``, ``resource`` …
internal_system_param: dict[str, Any] = _parameters("internalSystemParam")
systemParam: dict[str, str] = _parameters("systemParam")  # noqa: N816 - MLSQL's name


def get_param(p: Mapping[str, _Value], name: str, default: _Default) -> _Value | _Default:
    """Return ``p[name]``, or ``default``: ``int(mlsql.get_param(mlsql.fit_param, "batchSize", 1000))``."""
    return p.get(name, default)
