"""The statements. Each validates what can be known without data or storage when it is made, and raises InputError."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.builtin import find_estimator_problems, get_builtin_name
from mlsql_runtime.plan.python_env import PythonEnv
from mlsql_runtime.plan.statement_base import FitUse, ScriptRole, ScriptUse, StatementBase, TopicUse
from mlsql_runtime.plan.table_ref import FILE_FORMATS

MAX_SHOWN = 1000  # rows that a result may carry
TEXT_FORMATS = ("json", "csv")  # that a table's text can be in
RESOURCE = "resource."  # a fit parameter that begins so names a file or folder to bring along
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_identifier(name: str) -> bool:
    """Whether ``name`` can stand unquoted in SQL as the name of a table or function."""
    return _IDENTIFIER.fullmatch(name) is not None


def _require_identifier(name: str, what: str) -> None:
    if not is_identifier(name):
        raise InputError(
            f"{what} is {name!r}, which is no SQL identifier; use letters, digits and underscores, not starting with a digit",
            name=name,
        )


def _require_text(value: str | None, what: str) -> None:
    if not value or not value.strip():
        raise InputError(f"{what} is empty; it has to be given")


@dataclass(frozen=True, kw_only=True)
class Load(StatementBase):
    """``load <format>.`<path>` options … as <table>``: any Spark reader format; ``path`` is None for formats without one.

    ``text`` are the data themselves, JSON lines or CSV, instead of a path (``jsonStr``, ``csvStr``).
    """

    tag: ClassVar[str] = "load"
    table: str
    format: str
    path: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None

    def __post_init__(self) -> None:
        _require_identifier(self.table, "the name of a loaded table")
        _require_text(self.format, f"the format of table {self.table}")
        if self.text is None:
            return
        if self.format not in TEXT_FORMATS:
            raise InputError(f"table {self.table} is loaded from text as {self.format}; expected {' or '.join(TEXT_FORMATS)}")
        if self.path is not None:
            raise InputError(f"table {self.table} is loaded from text and from {self.path}; give one of them")

    @property
    def title(self) -> str:
        return f"load {self.table}"

    @property
    def defines(self) -> str:
        return self.table

    @property
    def reads_files(self) -> str | None:
        is_file = self.path is not None and self.format.lower() in FILE_FORMATS and "{" not in self.path
        return self.path if is_file else None

    @property
    def secret_values(self) -> Mapping[str, str]:
        return self.options


@dataclass(frozen=True, kw_only=True)
class FunctionRef:
    """A registered function to make callable in SQL as ``name``: what is current for ``function`` under ``model_path``."""

    name: str
    model_path: str
    function: str
    function_version: int | None = None

    def __post_init__(self) -> None:
        _require_identifier(self.name, "the SQL name of a function")
        _require_text(self.model_path, f"the model path of function {self.name}")
        _require_identifier(self.function, f"the function behind {self.name}")


@dataclass(frozen=True, kw_only=True)
class Select(StatementBase):
    """``select … as <table>``: Spark SQL, with registered functions made callable first."""

    tag: ClassVar[str] = "select"
    table: str
    sql: str
    functions: tuple[FunctionRef, ...] = ()

    def __post_init__(self) -> None:
        _require_identifier(self.table, "the name of a selected table")
        _require_text(self.sql, f"the SQL of table {self.table}")

    @property
    def title(self) -> str:
        return f"select {self.table}"

    @property
    def defines(self) -> str:
        return self.table

    @property
    def needs_functions(self) -> tuple[FunctionRef, ...]:
        return self.functions


@dataclass(frozen=True, kw_only=True)
class FileFeed:
    """Data reach the training script as files that Spark writes in ``format`` (``enableDataLocal``).

    ``format`` None is JSON, as in MLSQL, or Parquet where the script cannot tell the difference.
    """

    tag: ClassVar[str] = "files"
    format: str | None = None
    file_num: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format is not None:
            _require_text(self.format, "dataLocalFormat")
            object.__setattr__(self, "format", self.format.lower())  # Spark takes JSON for json
        if self.file_num is not None and self.file_num < 1:
            raise InputError(f"dataLocalFileNum is {self.file_num}; expected a number of files of at least 1")


@dataclass(frozen=True, kw_only=True)
class KafkaFeed:
    """Data reach the training script through a Kafka topic of this run's own, ``<topic>_<run>``; or what ``topic`` holds.

    ``settings`` are the client's, without passwords and certificates: these are in the job's secrets under ``secrets``.
    ``group`` is what the names of groups begin with, whose offsets show how far scripts have read.
    """

    tag: ClassVar[str] = "kafka"
    topic: str
    settings: Mapping[str, str]
    secrets: str | None = None
    group: str | None = None
    reuse: bool = False
    keep: bool = False
    partitions: int | None = None
    replication_factor: int | None = None
    topic_configs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require_kafka_name(self.topic, "the topic (kafkaParam.topic)")
        if self.group is not None:
            _require_kafka_name(self.group, "the group (kafkaParam.group_id)")
        for number, what in ((self.partitions, "topic.partitions"), (self.replication_factor, "topic.replication.factor")):
            if number is not None and number < 1:
                raise InputError(f"{what} is {number}; expected at least 1")


def _require_kafka_name(name: str, what: str) -> None:
    """200 characters of 249: the run's own suffix follows."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", name) or name in (".", ".."):
        raise InputError(f"{what} is {name!r}; expected up to 200 letters, digits, dots, underscores and hyphens", name=name)


@dataclass(frozen=True, kw_only=True)
class Train(StatementBase):
    """``train <table> as PythonAlg.`<model_path>` where … as <result>``. ``table`` is None when a Kafka topic is reused.

    ``result`` names a table with one row per fit group, for the statements after it.
    """

    tag: ClassVar[str] = "train"
    table: str | None
    model_path: str
    script_path: str
    fit_params: tuple[Mapping[str, str], ...] = ({},)
    validate_table: str | None = None
    validate_fraction: float | None = None
    feed: FileFeed | KafkaFeed = field(default_factory=FileFeed)
    python: PythonEnv = field(default_factory=PythonEnv)
    keep_versions: int | None = None
    greater_is_better: bool = True
    fail_on: Literal["all", "any"] = "all"
    keep_local_directory: bool = False
    result: str | None = None

    def __post_init__(self) -> None:
        self._check_table()
        if self.result is not None:
            _require_identifier(self.result, "the name of the table of results")
        _require_text(self.model_path, "the model path")
        _require_text(self.script_path, "pythonScriptPath")
        if not self.fit_params:
            raise InputError("fitParam holds no group; give at least one, which may be empty: [{}]")
        for index, params in enumerate(self.fit_params):
            for name in params:
                if name.startswith(RESOURCE) and not re.fullmatch(r"(?!\.+$)[^/\\\0]+", name[len(RESOURCE) :]):
                    raise InputError(f"fitParam.{index}.{name}: expected a name for the resource, without slashes", name=name)
        if get_builtin_name(self.script_path) is not None:
            for _, name, problem in find_estimator_problems(self.fit_params):
                raise InputError(problem, name=name)
        if self.validate_table is not None and self.validate_fraction is not None:
            raise InputError("both a validation table and a held-out fraction are given; expected one of them")
        if self.validate_fraction is not None and not 0 < self.validate_fraction < 1:
            raise InputError(f"the held-out fraction is {self.validate_fraction}; expected a number between 0 and 1")
        if self.keep_versions is not None and self.keep_versions < 1:
            raise InputError(f"keepVersions is {self.keep_versions}; expected at least 1")
        if self.fail_on not in ("all", "any"):
            raise InputError(f"failOn is {self.fail_on!r}; expected 'all' or 'any'")

    def _check_table(self) -> None:
        if not (isinstance(self.feed, KafkaFeed) and self.feed.reuse):
            _require_identifier(self.table or "", "the table to train on")
            return
        if self.table is not None:
            raise InputError(f"topic '{self.feed.topic}' is reused, so there is no table to send; leave out '{self.table}'")
        if self.validate_fraction is not None:
            raise InputError(f"topic '{self.feed.topic}' is reused, so no rows can be held out; name a validation table")

    @property
    def title(self) -> str:
        return f"train {self.model_path}"

    @property
    def defines(self) -> str | None:
        return self.result

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(name for name in (self.validate_table, self.table) if name is not None)

    @property
    def script(self) -> ScriptUse:
        return ScriptUse(path=self.script_path, role="train", python=self.python, params=self.fit_params)

    @property
    def archives(self) -> tuple[str, ...]:
        return self.python.archives

    @property
    def resources(self) -> Mapping[str, str]:
        return {
            f"fitParam.{index}.{name}": uri
            for index, params in enumerate(self.fit_params)
            for name, uri in params.items()
            if name.startswith(RESOURCE)
        }

    @property
    def model_root(self) -> str:
        return self.model_path

    @property
    def makes_version(self) -> bool:
        return True

    @property
    def stages_files(self) -> bool:
        return True

    @property
    def topic(self) -> TopicUse | None:
        if not isinstance(self.feed, KafkaFeed):
            return None
        return TopicUse(feed=self.feed, model_path=self.model_path, readers=len(self.fit_params))

    @property
    def secret_values(self) -> Mapping[str, str]:
        return self.python.envs

    def with_script(self, path: str) -> Train:
        return replace(self, script_path=path)


@dataclass(frozen=True, kw_only=True)
class Register(StatementBase):
    """``register PythonAlg.`<model_path>` as <function> options …``. ``author`` is whom the history of the function names.

    ``params`` are the predict script's ``mlsql.fit_param``.
    """

    tag: ClassVar[str] = "register"
    model_path: str
    function: str
    script_path: str
    model_version: int | None = None
    alg_index: int | None = None
    copy_train_params: bool = False
    min_score: float | None = None
    only_if_better: float | None = None
    sample_table: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    author: str | None = None

    def __post_init__(self) -> None:
        _require_identifier(self.function, "the name of the function to register")
        _require_text(self.model_path, "the model path")
        _require_text(self.script_path, "pythonScriptPath")
        if self.only_if_better is not None and self.only_if_better < 0:
            raise InputError(f"onlyIfBetter is {self.only_if_better}; expected how much better, at least 0")

    @property
    def title(self) -> str:
        return f"register {self.function}"

    @property
    def reads(self) -> tuple[str, ...]:
        return () if self.sample_table is None else (self.sample_table,)

    @property
    def script(self) -> ScriptUse:
        return ScriptUse(path=self.script_path, role="register", params=(self.params,))

    @property
    def model_root(self) -> str:
        return self.model_path

    @property
    def makes_function(self) -> str:
        return self.function

    @property
    def needs_fit(self) -> FitUse:
        return FitUse(version=self.model_version, alg_index=self.alg_index)

    def with_script(self, path: str) -> Register:
        return replace(self, script_path=path)

    def with_author(self, author: str | None) -> Register:
        return replace(self, author=author)


@dataclass(frozen=True, kw_only=True)
class Predict(StatementBase):
    """``predict <table> as PythonAlg.`<model_path>` where … as <result>``: a batch script, once per partition."""

    tag: ClassVar[str] = "predict"
    table: str
    model_path: str
    script_path: str
    result: str
    model_version: int | None = None
    alg_index: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    python: PythonEnv = field(default_factory=PythonEnv)
    same_rows: bool = True

    def __post_init__(self) -> None:
        _require_identifier(self.table, "the table to predict")
        _require_identifier(self.result, "the name of the predicted table")
        _require_text(self.model_path, "the model path")
        _require_text(self.script_path, "pythonScriptPath")

    @property
    def title(self) -> str:
        return f"predict {self.result}"

    @property
    def defines(self) -> str:
        return self.result

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.table,)

    @property
    def script(self) -> ScriptUse:
        return ScriptUse(path=self.script_path, role="predict", python=self.python, params=(self.params,))

    @property
    def archives(self) -> tuple[str, ...]:
        return self.python.archives

    @property
    def model_root(self) -> str:
        return self.model_path

    @property
    def stages_files(self) -> bool:
        return True

    @property
    def needs_fit(self) -> FitUse:
        return FitUse(version=self.model_version, alg_index=self.alg_index)

    @property
    def secret_values(self) -> Mapping[str, str]:
        return self.python.envs

    def with_script(self, path: str) -> Predict:
        return replace(self, script_path=path)


@dataclass(frozen=True, kw_only=True)
class Save(StatementBase):
    """``save <mode> <table> as <format>.`<path>` options … partitionBy …``: any Spark writer format.

    ``file_num`` is the number of files, per partition of ``partition_by`` at most; None leaves it to Spark.
    """

    tag: ClassVar[str] = "save"
    table: str
    format: str
    path: str | None = None
    mode: Literal["overwrite", "append", "errorIfExists", "ignore"] = "errorIfExists"
    options: Mapping[str, str] = field(default_factory=dict)
    partition_by: tuple[str, ...] = ()
    file_num: int | None = None

    def __post_init__(self) -> None:
        _require_identifier(self.table, "the table to save")
        if self.file_num is not None and self.file_num < 1:
            raise InputError(f"fileNum is {self.file_num}; expected a number of files of at least 1")
        _require_text(self.format, f"the format to save table {self.table} in")
        if self.mode not in ("overwrite", "append", "errorIfExists", "ignore"):
            raise InputError(f"the save mode is {self.mode!r}; expected overwrite, append, errorIfExists or ignore")

    @property
    def title(self) -> str:
        return f"save {self.table}"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.table,)

    @property
    def writes_files(self) -> str | None:
        return self.path

    @property
    def secret_values(self) -> Mapping[str, str]:
        return self.options


@dataclass(frozen=True, kw_only=True)
class Show(StatementBase):
    """Bring the first ``rows`` rows of a table back with the result. MLSQL shows the last table of a script so."""

    tag: ClassVar[str] = "show"
    table: str
    rows: int = 20

    def __post_init__(self) -> None:
        _require_identifier(self.table, "the table to show")
        if not 1 <= self.rows <= MAX_SHOWN:
            raise InputError(f"{self.rows} rows are to be shown; expected 1 to {MAX_SHOWN}")

    @property
    def title(self) -> str:
        return f"show {self.table}"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.table,)


@dataclass(frozen=True, kw_only=True)
class Preflight(StatementBase):
    """Look at every executor host, without any data: whether a script could run there.

    ``runs`` is the kind of statement that the script is for; a function runs in the executors' own Python, whatever ``python``
    says. ``paths`` are what has to be visible there, beside the model path.
    """

    tag: ClassVar[str] = "preflight"
    script_path: str | None = None
    runs: ScriptRole = "train"
    model_path: str | None = None
    paths: tuple[str, ...] = ()
    python: PythonEnv = field(default_factory=PythonEnv)

    def __post_init__(self) -> None:
        if self.runs not in ("train", "register", "predict"):
            raise InputError(f"the script is for {self.runs!r}; expected train, register or predict")

    @property
    def title(self) -> str:
        return "look at the hosts"

    @property
    def script(self) -> ScriptUse | None:
        if self.script_path is None:
            return None
        return ScriptUse(path=self.script_path, role=self.runs, python=self.python, is_run=False)

    @property
    def archives(self) -> tuple[str, ...]:
        return self.python.archives

    @property
    def model_root(self) -> str | None:
        return self.model_path

    def with_script(self, path: str) -> Preflight:
        return replace(self, script_path=path)


Statement = Load | Select | Train | Register | Predict | Save | Show | Preflight
