"""Statements, formats and options of MLSQL that are not supported, with what to write instead."""

from __future__ import annotations

from mlsql_runtime.errors import did_you_mean
from mlsql_runtime.language.scanner import QUERIES, STATEMENTS

_SELECT = "write a select … as name, and save the table"
_STATEMENTS = {
    "insert": "insert is not supported; save append table as format.`path` adds rows",
    "create": f"create is not supported; {_SELECT}",
    "drop": "drop is not supported: tables of a script end with it, and nothing stored is deleted; leave it out",
    "refresh": "refresh is not supported: every script starts with fresh tables; leave it out",
    "unregister": "unregister is not supported; register another version, which replaces the function, or no longer call it",
    "alter": f"alter is not supported; {_SELECT}",
    "delete": f"delete is not supported; {_SELECT}",
    "update": f"update is not supported; {_SELECT}",
    "merge": f"merge is not supported; {_SELECT}",
    "truncate": "truncate is not supported; save overwrite replaces what is stored",
    "use": "use is not supported; name the database in the query, as in select * from db.table as t",
    "cache": "cache is not supported; Spark reads a table again when it is used again, so save it and load it to keep it",
    "show": "show is not supported; mlsql models and mlsql functions show what is at a path",
    "describe": "describe is not supported; a script's log shows tables and models",
    "desc": "describe is not supported; a script's log shows tables and models",
    "explain": "explain is not supported; Spark's own page shows the plan of a query",
    "kill": "kill is not supported; clear or fail the task in Airflow, which ends the job",
    "def": "macros are not supported; include a file, with variables set before",
}
HIVE = "hive is not supported as a format; write table.`db.table`"
_LOADS = {
    "hive": HIVE,
    "script": "script is not supported; pythonScriptPath names a script, and jsonStr and csvStr load what a variable holds",
    "modelparams": "modelParams is not supported; docs/training.md lists the options of training",
    "modelexample": "modelExample is not supported; docs/training.md has examples",
    "modelexplain": "modelExplain is not supported; mlsql models show PATH tells what a version holds",
    "mlsqlapi": "mlsqlAPI is not supported; docs/language.md lists the statements",
    "mlsqlconf": "mlsqlConf is not supported; docs/language.md lists what can be set",
    "_mlsql_": "_mlsql_ is not supported; docs/language.md lists the statements",
}
#: Options of MLSQL's data sources that Spark would pass over in silence.
LOAD_OPTIONS = {
    "directQuery": "directQuery is not supported; give Spark's option query",
    "prePtnArray": "prePtnArray is not supported; give Spark's partitionColumn, lowerBound, upperBound and numPartitions",
}
SAVE_OPTIONS = {
    "idCol": "idCol is not supported: Spark's jdbc writer cannot update rows; save append to a table of its own",
}
SET_TYPES = {
    "sql": "type sql is not supported: a query's value cannot be known before Spark runs; write a select … as name, or give the "
    "value as a variable, from an earlier task perhaps",
    "shell": "type shell is not supported: scripts start no commands; run the command in another task and give its output as "
    "a variable",
}


def explain_statement(word: str) -> str:
    """Return why no statement begins with ``word``."""
    if word == "!":
        return "commands such as !show are not supported; mlsql models and mlsql functions show what is at a path"
    if word in _STATEMENTS:
        return _STATEMENTS[word]
    return f"there is no statement '{word[:40]}'{did_you_mean(word[:40], (*STATEMENTS, *QUERIES))}"


def explain_format(data_format: str) -> str | None:
    """Return why a format cannot be loaded; None if it can."""
    return _LOADS.get(data_format.lower())


def explain_algorithm(algorithm: str) -> str | None:
    """Return why an algorithm is not supported; None if it is."""
    if algorithm == "PythonAlg":
        return None
    if algorithm.lower() == "pythonalg":
        return f"algorithm '{algorithm}' is written PythonAlg"
    return f"algorithm '{algorithm[:40]}' is not supported; write it as a Python script and use PythonAlg.`path`"
