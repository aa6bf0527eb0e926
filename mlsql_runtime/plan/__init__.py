"""What a job does, as data: one frozen dataclass per statement, and strict versioned JSON both ways. Imports no pyspark."""

from mlsql_runtime.plan.document import ONLY_ATTEMPT, PLAN_VERSION, Attempt, Plan, dump_plan, load_plan, signed
from mlsql_runtime.plan.environment import FUNCTIONS_RUN, PythonEnv, archive_name, joined, packages, without_passwords
from mlsql_runtime.plan.properties import check_property, is_secret
from mlsql_runtime.plan.secrets import Secrets
from mlsql_runtime.plan.statements import (
    MAX_SHOWN,
    RESOURCE,
    TEXT_FORMATS,
    FileFeed,
    FunctionRef,
    KafkaFeed,
    Load,
    Predict,
    Preflight,
    Register,
    Save,
    Select,
    Show,
    Statement,
    Train,
    is_identifier,
)
from mlsql_runtime.plan.table_ref import FILE_FORMATS, TableRef, option_text, parse_table_ref

__all__ = [
    "FILE_FORMATS",
    "FUNCTIONS_RUN",
    "MAX_SHOWN",
    "ONLY_ATTEMPT",
    "PLAN_VERSION",
    "RESOURCE",
    "TEXT_FORMATS",
    "Attempt",
    "FileFeed",
    "FunctionRef",
    "KafkaFeed",
    "Load",
    "Plan",
    "Predict",
    "Preflight",
    "PythonEnv",
    "Register",
    "Save",
    "Secrets",
    "Select",
    "Show",
    "Statement",
    "TableRef",
    "Train",
    "archive_name",
    "check_property",
    "dump_plan",
    "is_identifier",
    "is_secret",
    "joined",
    "load_plan",
    "option_text",
    "packages",
    "parse_table_ref",
    "signed",
    "without_passwords",
]
