"""The statement register."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.names import require_identifier, require_text
from mlsql_runtime.plan.statement_base import FitUse, ScriptUse, StatementBase


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
        require_identifier(self.function, "the name of the function to register")
        require_text(self.model_path, "the model path")
        require_text(self.script_path, "pythonScriptPath")
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
