"""What MLSQL has and we do not, by name, with what to write instead."""

from __future__ import annotations

from mlsql_runtime.errors import did_you_mean
from mlsql_runtime.language.scanner import QUERIES, STATEMENTS

_SELECT = "write a select … as name, and save the table"
_STATEMENTS = {
    "insert": "insert is not here; save append table as format.`path` adds rows",
    "create": f"create is not here; {_SELECT}",
    "drop": "drop is not here: tables of a script end with it, and nothing stored is deleted; leave it out",
    "refresh": "refresh is not here: every script starts with fresh tables; leave it out",
    "unregister": "unregister is not here; register another version, which replaces the function, or no longer call it",
    "alter": f"alter is not here; {_SELECT}",
    "delete": f"delete is not here; {_SELECT}",
    "update": f"update is not here; {_SELECT}",
    "merge": f"merge is not here; {_SELECT}",
    "truncate": "truncate is not here; save overwrite replaces what is stored",
    "use": "use is not here; name the database in the query, as in select * from db.table as t",
    "cache": "cache is not here; Spark reads a table again when it is used again, so save it and load it to keep it",
    "show": "show is not here; mlsql models and mlsql functions show what is at a path",
    "describe": "describe is not here; a script's log shows tables and models",
    "desc": "describe is not here; a script's log shows tables and models",
    "explain": "explain is not here; Spark's own page shows the plan of a query",
    "kill": "kill is not here; clear or fail the task in Airflow, which ends the job",
    "def": "macros are not here; include a file, with variables set before",
}
_LOADS = {
    "hive": "hive is no format here; write select * from db.table as name",
    "script": "script is not here; pythonScriptPath names a script, and jsonStr and csvStr load what a variable holds",
    "modelparams": "modelParams is not here; docs/training.md lists the options of training",
    "modelexample": "modelExample is not here; docs/training.md has examples",
    "modelexplain": "modelExplain is not here; mlsql models show PATH tells what a version holds",
    "mlsqlapi": "mlsqlAPI is not here; docs/language.md lists the statements",
    "mlsqlconf": "mlsqlConf is not here; docs/language.md lists what can be set",
    "_mlsql_": "_mlsql_ is not here; docs/language.md lists the statements",
}
#: Options of MLSQL's data sources that Spark would pass over in silence.
LOAD_OPTIONS = {
    "directQuery": "directQuery is not here; give Spark's own option, query, instead",
    "prePtnArray": "prePtnArray is not here; give Spark's own partitionColumn, lowerBound, upperBound and numPartitions instead",
}
SAVE_OPTIONS = {
    "idCol": "idCol is not here: Spark's jdbc writer cannot update rows; save append to a table of its own",
}
SET_TYPES = {
    "sql": "type sql is not here: a query's value cannot be known before Spark runs; write a select … as name, or give the "
    "value as a variable, from an earlier task perhaps",
    "shell": "type shell is not here: scripts start no commands; run the command in a task of its own and give its output as "
    "a variable",
}


def statement_problem(word: str) -> str:
    """Why there is no statement that begins with ``word``."""
    if word == "!":
        return "commands such as !show are not here; mlsql models and mlsql functions show what is at a path"
    if word in _STATEMENTS:
        return _STATEMENTS[word]
    return f"there is no statement '{word[:40]}'{did_you_mean(word[:40], (*STATEMENTS, *QUERIES))}"


def load_problem(data_format: str) -> str | None:
    """Why a format cannot be loaded, if so."""
    return _LOADS.get(data_format.lower())


def algorithm_problem(algorithm: str) -> str | None:
    """Why an algorithm cannot be trained, registered or predicted with, if so."""
    if algorithm == "PythonAlg":
        return None
    if algorithm.lower() == "pythonalg":
        return f"algorithm '{algorithm}' is written PythonAlg"
    return f"algorithm '{algorithm[:40]}' is not here; write it as a Python script and use PythonAlg.`path`"
