"""Plans: one frozen dataclass for each statement of a job, as strict versioned JSON. This package does not import pyspark."""

from mlsql_runtime.plan.builtin import choose_script, get_builtin_name, to_builtin_path
from mlsql_runtime.plan.document import (
    PLAN_VERSION,
    SINGLE_ATTEMPT,
    Attempt,
    Plan,
    Statement,
    TaskTry,
    collect_uris,
    dump_plan,
    load_plan,
    with_author,
)
from mlsql_runtime.plan.feeds import FileFeed, KafkaFeed
from mlsql_runtime.plan.names import RESOURCE, is_identifier
from mlsql_runtime.plan.predict import Predict
from mlsql_runtime.plan.preflight import Preflight
from mlsql_runtime.plan.python_env import (
    FUNCTION_PYTHON_HELP,
    MAX_SEED,
    PythonEnv,
    hide_passwords,
    merge_archives,
    parse_requirements,
)
from mlsql_runtime.plan.register import Register
from mlsql_runtime.plan.secrets import NO_SECRETS, Secrets
from mlsql_runtime.plan.spark_properties import check_property, is_secret_property
from mlsql_runtime.plan.statement_base import Outline, ScriptUse, TableOrigin, TopicUse
from mlsql_runtime.plan.storage_access import ACCESS_PROPERTY, NO_ACCESS, SCHEMES, StorageAccess, StorageConnection, find_family
from mlsql_runtime.plan.table_ref import CATALOG_TABLE, FILE_FORMATS, PATH_FORMATS, TableRef, format_option, parse_table_ref
from mlsql_runtime.plan.tables import MAX_SHOWN, FunctionRef, Load, Save, Select, Show
from mlsql_runtime.plan.tracking import NO_TRACKING, TrackingAccess
from mlsql_runtime.plan.train import Train
