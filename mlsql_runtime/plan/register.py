"""The statement register."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.builtin import BUILTIN, DESC_PATH, combine_script
from mlsql_runtime.plan.names import check_model_script, list_resources, require_identifier
from mlsql_runtime.plan.options import Option, OptionReader, check_options, declare, option
from mlsql_runtime.plan.parsers import BOOLEAN, MAPPING, NOT_NEGATIVE, NUMBER, PATH, TABLE, TEXT, whole
from mlsql_runtime.plan.statement_base import OTHERS, FitUse, Outline, ScriptUse, StatementBase
from mlsql_runtime.plan.tracking import TRACKING_URI_DOC, check_tracking_uri


@dataclass(frozen=True, kw_only=True)
class Register(StatementBase):
    """``register PythonAlg.`<model_path>` as <function> options …``. ``author`` is whom the history of the function names."""

    tag: ClassVar[str] = "register"
    model_path: str
    function: str
    script_path: str | None = option(
        "pythonScriptPath",
        PATH,
        None,
        "The predict script; or a project, a folder or a zip, with an ``MLproject`` or ``predict.py``. By default the project "
        "that trained the version.",
    )
    model_version: int | None = option("modelVersion", whole(1), None, "The version; by default the newest complete one.")
    alg_index: int | None = option("algIndex", whole(0), None, "The fit group; by default the best one.")
    copy_train_params: bool = option(
        "enableCopyTrainParamsToPython", BOOLEAN, False, "Pass all options of the training to the predict function."
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
        "fitParam.0.<name>",
        MAPPING,
        {},
        "Parameters of the predict script, its ``mlsql.fit_param``; ``resource.<name>`` names a file or folder to bring along.",
        argument="script_params",
    )
    envs: Mapping[str, str] = option(
        "systemParam.envs",
        MAPPING,
        {},
        "Environment variables of the predict script, while it runs to be registered; by default those of the training.",
        argument="envs",
    )
    tracking_uri: str | None = option("mlflowTrackingUri", TEXT, None, TRACKING_URI_DOC)
    registered_model: str | None = option(
        "mlflowRegisteredModel",
        TEXT,
        None,
        "A registered model of the MLflow server, which gets a version for this model, and the function's name as its alias.",
    )
    others: Mapping[str, str] = option("<name>", MAPPING, {}, OTHERS.format("predict"), argument="script_options")
    author: str | None = None

    inputs: ClassVar[Mapping[str, Option]] = {
        **DESC_PATH,
        "builtin": declare(
            "builtin",
            BUILTIN,
            None,
            "A built-in predict script instead of one of your own, for models with scikit-learn's methods; "
            "see docs/how-to/builtin.md.",
        ),
    }

    @classmethod
    def combine(cls, values: dict[str, Any], reader: OptionReader) -> None:
        """Make the script of the options that name one."""
        combine_script(cls, values, reader, is_required=False)

    def __post_init__(self) -> None:
        check_options(self)
        require_identifier(self.function, "the name of the function to register")
        check_model_script(self.model_path, self.script_path, (self.params,))
        check_tracking_uri(self.tracking_uri)
        if self.registered_model is not None and self.tracking_uri is None:
            raise InputError(
                "mlflowRegisteredModel is given without a server; give mlflowTrackingUri, or mlflow_conn_id for operators"
            )

    @property
    def outline(self) -> Outline:
        return Outline(
            title=f"register {self.function}",
            reads=() if self.sample_table is None else (self.sample_table,),
            script=ScriptUse(path=self.script_path, role="register", params=(self.params,)),
            resources=list_resources((self.params,)),
            model_root=self.model_path,
            makes_function=self.function,
            tracking_uri=self.tracking_uri,
            needs_fit=FitUse(version=self.model_version, alg_index=self.alg_index),
            can_do_without_spark=self.sample_table is None,
            secret_values={**self.envs, **self.others},
        )

    def with_author(self, author: str | None) -> Register:
        return replace(self, author=author)
