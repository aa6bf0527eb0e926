"""The statement train."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.builtin import find_estimator_problems, get_builtin_name
from mlsql_runtime.plan.feeds import FileFeed, KafkaFeed
from mlsql_runtime.plan.names import require_identifier, require_text
from mlsql_runtime.plan.python_env import PythonEnv
from mlsql_runtime.plan.statement_base import ScriptUse, StatementBase, TopicUse

RESOURCE = "resource."  # a fit parameter that begins so names a file or folder to bring along


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
            require_identifier(self.result, "the name of the table of results")
        require_text(self.model_path, "the model path")
        require_text(self.script_path, "pythonScriptPath")
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
            require_identifier(self.table or "", "the table to train on")
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
