"""The statement preflight."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.python_env import PythonEnv
from mlsql_runtime.plan.statement_base import ScriptRole, ScriptUse, StatementBase


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
