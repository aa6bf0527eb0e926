"""The statement register."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mlsql_runtime.plan.builtin import BUILTIN, combine_script
from mlsql_runtime.plan.names import require_identifier, require_text
from mlsql_runtime.plan.options import REQUIRED, Option, OptionReader, check_options, declare, option
from mlsql_runtime.plan.parsers import BOOLEAN, MAPPING, NOT_NEGATIVE, NUMBER, PATH, TABLE, whole
from mlsql_runtime.plan.statement_base import FitUse, Outline, ScriptUse, StatementBase


@dataclass(frozen=True, kw_only=True)
class Register(StatementBase):
    """``register PythonAlg.`<model_path>` as <function> options …``. ``author`` is whom the history of the function names."""

    tag: ClassVar[str] = "register"
    model_path: str
    function: str
    script_path: str = option(
        "pythonScriptPath",
        PATH,
        REQUIRED,
        "The predict script; or a project, a folder or a zip, with an ``MLproject`` or ``predict.py``.",
    )
    model_version: int | None = option("modelVersion", whole(0), None, "The version; by default the newest complete one.")
    alg_index: int | None = option("algIndex", whole(0), None, "The fit group; by default the best one.")
    copy_train_params: bool = option(
        "enableCopyTrainParamsToPython", BOOLEAN, False, "Pass the training parameters of the fit group to the predict function."
    )
    min_score: float | None = option("minScore", NUMBER, None, "Refuse a model with a worse score.")
    only_if_better: float | None = option(
        "onlyIfBetter",
        NOT_NEGATIVE,
        None,
        "Refuse a model whose score is not better than that of the current function by at least this much.",
    )
    sample_table: str | None = option(
        "sampleTable",
        TABLE,
        None,
        "Table on whose first rows the function is tried; by default, rows of the training data that are kept with the version.",
        argument="sample_data",
    )
    params: Mapping[str, str] = option(
        "fitParam.0.<name>", MAPPING, {}, "Parameters of the predict script, its ``mlsql.fit_param``.", argument="script_params"
    )
    author: str | None = None

    inputs: ClassVar[Mapping[str, Option]] = {
        "builtin": declare(
            "builtin",
            BUILTIN,
            None,
            "A built-in predict script instead of one of your own, for models with scikit-learn's methods; see docs/builtin.md.",
        )
    }

    @classmethod
    def combine(cls, values: dict[str, Any], reader: OptionReader) -> None:
        """Make the script of the options that name one."""
        combine_script(cls, values, reader)

    def __post_init__(self) -> None:
        check_options(self)
        require_identifier(self.function, "the name of the function to register")
        require_text(self.model_path, "the model path")
        require_text(self.script_path, "pythonScriptPath")

    @property
    def outline(self) -> Outline:
        return Outline(
            title=f"register {self.function}",
            reads=() if self.sample_table is None else (self.sample_table,),
            script=ScriptUse(path=self.script_path, role="register", params=(self.params,)),
            model_root=self.model_path,
            makes_function=self.function,
            needs_fit=FitUse(version=self.model_version, alg_index=self.alg_index),
        )

    def with_author(self, author: str | None) -> Register:
        return replace(self, author=author)
