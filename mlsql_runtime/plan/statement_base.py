"""The base of the statements, and the outline by which each says what it reads, writes and needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from mlsql_runtime.plan.python_env import PythonEnv

if TYPE_CHECKING:
    from mlsql_runtime.plan.feeds import KafkaFeed
    from mlsql_runtime.plan.tables import FunctionRef

S = TypeVar("S", bound="StatementBase")
ScriptRole = Literal["train", "register", "predict"]
OTHERS = 'Any other option, for the {} script: ``mlsql.params()["fitParams"]`` has it.'


@dataclass(frozen=True, kw_only=True)
class ScriptUse:
    """A script that a statement runs: what it is for, the Python it runs with, and the parameters of each of its runs.

    ``path`` is None for the script in the project that trained the statement's model. ``is_run`` is False when the statement
    only asks whether the script could run.
    """

    path: str | None
    role: ScriptRole
    python: PythonEnv = field(default_factory=PythonEnv)
    params: tuple[Mapping[str, str], ...] = ()
    is_run: bool = True

    @property
    def is_function(self) -> bool:
        """Whether the script makes a function, which runs in the executors' own Python."""
        return self.role == "register"


@dataclass(frozen=True, kw_only=True)
class FitUse:
    """Which trained model a statement needs: of a version, None for the newest, the fit group, None for the best."""

    version: int | None
    alg_index: int | None


@dataclass(frozen=True, kw_only=True)
class TopicUse:
    """A Kafka feed of a training, with what tells its topics and groups from those of other trainings."""

    feed: KafkaFeed
    model_path: str
    readers: int


@dataclass(frozen=True, kw_only=True)
class TableOrigin:
    """Where the rows of a table come from, as the statement that defines it says.

    :param kind: the statement. The ``path`` of ``predict`` and ``train`` is that of the model.
    :param options: of Spark's reader, without secrets.
    :param content: SHA-256 of data that the statement holds itself, in hex.
    """

    kind: Literal["load", "select", "predict", "train"]
    format: str | None = None
    path: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    sql: str | None = None
    content: str | None = None


@dataclass(frozen=True, kw_only=True)
class Outline:
    """An outline of a statement: what it reads, writes and needs. Defaults mean that it has nothing of the kind.

    :param title: what the statement does, in short, without its options: they may be secrets.
    :param defines: the table that it makes for those after it.
    :param origin: where the rows of that table come from.
    :param reads: tables that it needs, as far as fields name them.
    :param reads_files: the path of data in one of Spark's file formats, which may be a pattern; None for other sources.
    :param writes_files: the path to which it writes data.
    :param script: the script that it names.
    :param archives: packed environments that Spark has to unpack on every node.
    :param resources: files and folders that scripts get, by the name of the option.
    :param model_root: the model path that it names.
    :param makes_version: whether it makes a version of the model there.
    :param stages_files: whether it keeps files there until it has ended.
    :param makes_function: the function that it registers there.
    :param needs_fit: the trained model that has to be there.
    :param needs_functions: registered functions that it needs.
    :param topic: the Kafka topic through which data reach the script.
    :param tracking_uri: the MLflow server to which it sends its results.
    :param can_do_without_spark: whether it needs no Spark session on a machine that is driver and executor in one.
    :param secret_values: values that may be secrets, by name: environment variables, options of Spark's readers and writers.
    """

    title: str
    defines: str | None = None
    origin: TableOrigin | None = None
    reads: tuple[str, ...] = ()
    reads_files: str | None = None
    writes_files: str | None = None
    script: ScriptUse | None = None
    archives: tuple[str, ...] = ()
    resources: Mapping[str, str] = field(default_factory=dict)
    model_root: str | None = None
    makes_version: bool = False
    stages_files: bool = False
    makes_function: str | None = None
    needs_fit: FitUse | None = None
    needs_functions: tuple[FunctionRef, ...] = ()
    topic: TopicUse | None = None
    tracking_uri: str | None = None
    can_do_without_spark: bool = False
    secret_values: Mapping[str, str] = field(default_factory=dict)


class StatementBase:
    """The base of all statements. Only the engine needs the type of a statement; everything else reads its outline."""

    tag: ClassVar[str]

    @property
    def outline(self) -> Outline:
        """The outline of the statement."""
        raise NotImplementedError

    def with_author(self: S, author: str | None) -> S:
        """Return the statement with its author, if the history of a function keeps one."""
        return self
