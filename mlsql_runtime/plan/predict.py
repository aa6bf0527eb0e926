"""The statement predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from mlsql_runtime.plan.names import require_identifier, require_text
from mlsql_runtime.plan.python_env import PythonEnv
from mlsql_runtime.plan.statement_base import FitUse, ScriptUse, StatementBase


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
        require_identifier(self.table, "the table to predict")
        require_identifier(self.result, "the name of the predicted table")
        require_text(self.model_path, "the model path")
        require_text(self.script_path, "pythonScriptPath")

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
