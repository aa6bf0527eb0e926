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
    "modelparam": "modelParam is not supported; docs/reference/options.md lists the options of training",
    "modelparams": "modelParams is not supported; docs/how-to/training.md lists the options of training",
    "modelexample": "modelExample is not supported; docs/how-to/training.md has examples",
    "modelexplain": "modelExplain is not supported; mlsql models show PATH tells what a version holds",
    "mlsqlapi": "mlsqlAPI is not supported; docs/reference/language.md lists the statements",
    "mlsqlconf": "mlsqlConf is not supported; docs/reference/language.md lists what can be set",
    "_mlsql_": "_mlsql_ is not supported; docs/reference/language.md lists the statements",
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
_BYTES = "write the number of bytes, such as 250 * 1024 * 1024 for 250m"
_TIMES = "times are timestamps: write current_timestamp() - interval 2 hours, or t + interval 1 day"
#: Functions of MLSQL in queries that neither Spark nor this project has, in lower case.
FUNCTIONS = {
    "parse": "parse is not supported: Spark has no word segmentation; split texts into words in a Python script",
    "sleep": "sleep is not supported; leave it out: queries need not wait",
    "bytestringasbytes": f"byteStringAsBytes is not supported; {_BYTES}",
    "bytestringaskb": f"byteStringAsKb is not supported; {_BYTES}",
    "bytestringasmb": f"byteStringAsMb is not supported; {_BYTES}",
    "bytestringasgb": f"byteStringAsGb is not supported; {_BYTES}",
    "parsedateaslong": "parseDateAsLong is not supported; write unix_millis(to_timestamp(text, 'yyyy-MM-dd'))",
    "parselongasdate": "parseLongAsDate is not supported; write date_format(timestamp_millis(number), 'yyyy-MM-dd')",
    "timeago": f"timeAgo is not supported; {_TIMES}",
    "timeplus": f"timePlus is not supported; {_TIMES}",
    "timeminus": f"timeMinus is not supported; {_TIMES}",
}
#: Functions that Spark has, too, with another meaning.
OTHER_FUNCTIONS = {
    "uuid": "uuid() is Spark's, with dashes; MLSQL's had none: write replace(uuid(), '-', '') for that",
    "array_intersect": "array_intersect is Spark's, which keeps each element once; MLSQL's kept repeated ones",
}


_FOLDER = "put the scripts into a folder with an MLproject, and name the folder as pythonScriptPath"
_OPTIONS = {
    "scripts": f"scripts is not supported: it names tables of load script; {_FOLDER}",
    **{
        name: f"{name} is not supported: an MLproject names the script of each statement; {_FOLDER}"
        for name in ("entryPoint", "batchPredictEntryPoint", "apiPredictEntryPoint")
    },
    "condaFile": "condaFile is not supported; give the environment as systemParam.requirements or systemParam.archives, "
    "see docs/how-to/environments.md",
    **{name: f"{name} is not supported: no project is generated; {_FOLDER}" for name in ("projectPath", "generateProjectOnly")},
    "pythonProjectPath": "pythonProjectPath is not supported; name the project as pythonScriptPath, all of it can be imported",
    "partitionKey": "partitionKey is not supported: a version has a folder for each fit group; leave it out",
}
_SCRIPT_FUNCTIONS = "write the expression in the select, or register a predict script that calls python_fun.batch_udf"
_ALGORITHMS = {
    "scriptudf": f"ScriptUDF, functions in Scala, Java or Python text, is not supported; {_SCRIPT_FUNCTIONS}",
    "pythonenvext": "PythonEnvExt is not supported; each node builds the environment that systemParam.requirements of "
    "train names, see docs/how-to/environments.md",
    "pythonparallelext": "PythonParallelExt is not supported; save the table partitioned, and train one fit group for each part, "
    "or write the work as a query",
    "dtfalg": "DTFAlg, distributed TensorFlow, is not supported; train a TensorFlow script in one process with PythonAlg.`path`, "
    "see docs/how-to/frameworks",
    "sklearn": 'SKLearn is not supported; write PythonAlg.`path` with builtin="sklearn", fitParam.0.moduleName and '
    "fitParam.0.className, see docs/how-to/builtin.md",
}


def explain_option(name: str) -> str | None:
    """Return why an option of MLSQL's train, register or predict is not supported; None for any other name."""
    return _OPTIONS.get(name)


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
    if algorithm.lower() in _ALGORITHMS:
        return _ALGORITHMS[algorithm.lower()]
    return f"algorithm '{algorithm[:40]}' is not supported; write it as a Python script and use PythonAlg.`path`"
