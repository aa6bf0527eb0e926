"""The statement preflight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.python_env import PythonEnv
from mlsql_runtime.plan.statement_base import Outline, ScriptRole, ScriptUse, StatementBase


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
    def outline(self) -> Outline:
        script = None
        if self.script_path is not None:
            script = ScriptUse(path=self.script_path, role=self.runs, python=self.python, is_run=False)
        return Outline(title="look at the hosts", script=script, archives=self.python.archives, model_root=self.model_path)
