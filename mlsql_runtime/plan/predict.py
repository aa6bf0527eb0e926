"""The statement predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mlsql_runtime.plan.builtin import DESC_PATH, combine_script
from mlsql_runtime.plan.names import check_model_script, list_resources, require_identifier
from mlsql_runtime.plan.options import Option, OptionReader, check_options, nested, option
from mlsql_runtime.plan.parsers import BOOLEAN, MAPPING, PATH, whole
from mlsql_runtime.plan.python_env import PythonEnv, hide_passwords
from mlsql_runtime.plan.statement_base import OTHERS, FitUse, Outline, ScriptUse, StatementBase, TableOrigin


@dataclass(frozen=True, kw_only=True)
class Predict(StatementBase):
    """``predict <table> as PythonAlg.`<model_path>` where … as <result>``: a batch script, once per partition."""

    tag: ClassVar[str] = "predict"
    table: str
    model_path: str
    script_path: str | None = option(
        "pythonScriptPath",
        PATH,
        None,
        "The batch script; or a project, a folder or a zip, with an ``MLproject`` or ``batch_predict.py``. By default the "
        "project that trained the version.",
    )
    result: str
    model_version: int | None = option("modelVersion", whole(1), None, "The version; by default the newest complete one.")
    alg_index: int | None = option("algIndex", whole(0), None, "The fit group; by default the best one.")
    params: Mapping[str, str] = option(
        "fitParam.0.<name>",
        MAPPING,
        {},
        "Parameters of the batch script, its ``mlsql.fit_param``; ``resource.<name>`` names a file or folder to bring along.",
        argument="script_params",
    )
    python: PythonEnv = field(default_factory=PythonEnv, metadata=nested(PythonEnv, timeout="script_timeout"))
    same_rows: bool = option("sameRows", BOOLEAN, True, "Whether the batch script must write as many rows as it reads.")
    others: Mapping[str, str] = option("<name>", MAPPING, {}, OTHERS.format("batch"), argument="script_options")

    inputs: ClassVar[Mapping[str, Option]] = DESC_PATH

    @classmethod
    def combine(cls, values: dict[str, Any], reader: OptionReader) -> None:
        """Make the script of the options that name one."""
        combine_script(cls, values, reader, is_required=False)

    def __post_init__(self) -> None:
        check_options(self)
        require_identifier(self.table, "the table to predict")
        require_identifier(self.result, "the name of the predicted table")
        check_model_script(self.model_path, self.script_path, (self.params,))

    @property
    def outline(self) -> Outline:
        return Outline(
            title=f"predict {self.result}",
            defines=self.result,
            origin=TableOrigin(kind="predict", path=hide_passwords(self.model_path)),
            reads=(self.table,),
            script=ScriptUse(path=self.script_path, role="predict", python=self.python, params=(self.params,)),
            archives=self.python.archives,
            resources=list_resources((self.params,)),
            model_root=self.model_path,
            stages_files=True,
            needs_fit=FitUse(version=self.model_version, alg_index=self.alg_index),
            secret_values={**self.python.envs, **self.others},
        )
