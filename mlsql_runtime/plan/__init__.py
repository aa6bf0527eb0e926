"""Plans: one frozen dataclass for each statement of a job, as strict versioned JSON. This package does not import pyspark."""

from mlsql_runtime.plan.builtin import BUILTINS, choose_script, find_estimator_problems, get_builtin_name, to_builtin_path
from mlsql_runtime.plan.document import PLAN_VERSION, SINGLE_ATTEMPT, Attempt, Plan, dump_plan, load_plan, with_author
from mlsql_runtime.plan.feeds import FileFeed, KafkaFeed
from mlsql_runtime.plan.names import is_identifier
from mlsql_runtime.plan.predict import Predict
from mlsql_runtime.plan.preflight import Preflight
from mlsql_runtime.plan.python_env import (
    FUNCTION_PYTHON_HELP,
    MAX_SEED,
    PythonEnv,
    get_archive_name,
    hide_passwords,
    merge_archives,
    parse_requirements,
)
from mlsql_runtime.plan.register import Register
from mlsql_runtime.plan.secrets import NO_SECRETS, Secrets
from mlsql_runtime.plan.spark_properties import check_property, is_secret
from mlsql_runtime.plan.statement_base import FitUse, Outline, ScriptUse, TopicUse
from mlsql_runtime.plan.statements import Statement
from mlsql_runtime.plan.table_ref import FILE_FORMATS, TableRef, format_option, parse_table_ref
from mlsql_runtime.plan.tables import MAX_SHOWN, TEXT_FORMATS, FunctionRef, Load, Save, Select, Show
from mlsql_runtime.plan.train import RESOURCE, Train

__all__ = [
    "BUILTINS",
    "FILE_FORMATS",
    "FUNCTION_PYTHON_HELP",
    "MAX_SEED",
    "MAX_SHOWN",
    "NO_SECRETS",
    "PLAN_VERSION",
    "RESOURCE",
    "SINGLE_ATTEMPT",
    "TEXT_FORMATS",
    "Attempt",
    "FileFeed",
    "FitUse",
    "FunctionRef",
    "KafkaFeed",
    "Load",
    "Outline",
    "Plan",
    "Predict",
    "Preflight",
    "PythonEnv",
    "Register",
    "Save",
    "ScriptUse",
    "Secrets",
    "Select",
    "Show",
    "Statement",
    "TableRef",
    "TopicUse",
    "Train",
    "check_property",
    "choose_script",
    "dump_plan",
    "find_estimator_problems",
    "format_option",
    "get_archive_name",
    "get_builtin_name",
    "hide_passwords",
    "is_identifier",
    "is_secret",
    "load_plan",
    "merge_archives",
    "parse_requirements",
    "parse_table_ref",
    "to_builtin_path",
    "with_author",
]
