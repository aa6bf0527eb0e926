"""The data sets that a job has read and written, as its result carries them to the provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class CatalogName:
    """The name of a table in a catalog.

    :param name: such as ``shop.orders``, without the catalog.
    :param catalog: URI of the catalog: of its metastore, of another server, or of the warehouse in which its tables are.
    """

    name: str
    catalog: str


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a version of a model comes from.

    :param job_id: the job that trained or imported it, at ``created``.
    :param script: name of the script that trained it, and ``script_sha256`` the digest over all its files.
    """

    job_id: str
    created: datetime
    script: str
    script_sha256: str


@dataclass(frozen=True, kw_only=True)
class ModelUse:
    """The model behind a data set, which is a version of a model path.

    :param alg_index: the fit group that is used; after a training the best one.
    :param metrics: of this fit group; empty if they are not known.
    :param functions: names of functions that were registered for this version, or called in queries.
    :param provenance: None if it is not known.
    """

    alg_index: int
    score: float | None
    greater_is_better: bool | None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    functions: tuple[str, ...] = ()
    provenance: Provenance | None = None


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Files, a table, a topic or a version of a model.

    :param uri: an absolute path or URI, without passwords; ``kafka://host:port/topic`` for a topic. None for a table whose place
        is not known.
    :param table: its name in a catalog, if it has one.
    :param columns: types in Spark's words, by name; empty if they are not known. Of a model those of its signature.
    :param version: of a model, a Delta or an Iceberg table.
    :param rows: rows that were written, or that a training got; None if they were not counted.
    :param files: number of files, and ``size`` their bytes together; None if they were not counted.
    """

    uri: str | None
    table: CatalogName | None = None
    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None
    rows: int | None = None
    files: int | None = None
    size: int | None = None
    model: ModelUse | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """The identity of the data set. Two versions of a model are two data sets."""
        return (self.uri or self.table, self.version if self.model is not None else None)


@dataclass(frozen=True, kw_only=True)
class UsedScript:
    """A script that a statement ran: the name of its entry file, and a digest over all its files."""

    role: Literal["train", "register", "predict"]
    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class JobLineage:
    """All data sets that a job has read and written. What it reads after it has written it is no input."""

    inputs: tuple[DataSet, ...] = ()
    outputs: tuple[DataSet, ...] = ()
    scripts: tuple[UsedScript, ...] = ()


class LineageRecord:
    """Collects the lineage of a job while its statements run."""

    def __init__(self) -> None:
        self._inputs: dict[tuple[object, ...], DataSet] = {}
        self._outputs: dict[tuple[object, ...], DataSet] = {}
        self._scripts: dict[UsedScript, None] = {}

    def add_input(self, data_set: DataSet) -> None:
        """Add what a statement has read."""
        found = self._outputs if data_set.key in self._outputs else self._inputs
        found[data_set.key] = _merge(found.get(data_set.key), data_set)

    def add_output(self, data_set: DataSet) -> None:
        """Add what a statement has written. Of what was written twice, the last time counts."""
        self._outputs[data_set.key] = data_set

    def add_script(self, script: UsedScript) -> None:
        """Add a script that a statement has run."""
        self._scripts[script] = None

    @property
    def lineage(self) -> JobLineage:
        """All that was added."""
        inputs, outputs = tuple(self._inputs.values()), tuple(self._outputs.values())
        return JobLineage(inputs=inputs, outputs=outputs, scripts=tuple(self._scripts))


def _merge(known: DataSet | None, other: DataSet) -> DataSet:
    """Return a data set that was added before, with the functions of its other use."""
    if known is None or known.model is None or other.model is None:
        return known or other
    functions = tuple(dict.fromkeys((*known.model.functions, *other.model.functions)))
    return replace(known, model=replace(known.model, functions=functions))
