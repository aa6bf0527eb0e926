"""Wrong scripts: each with its place, marked by » in the text, and something a person can act on."""

from __future__ import annotations

from typing import Any

import pytest

from mlsql_runtime import errors
from mlsql_runtime.errors import InputError, Origin
from mlsql_runtime.language import check_script, compile_script
from mlsql_runtime.plan import FunctionRef

MARK = "»"
DATA = "load a.`b` as data;\n"
SCRIPT = 'pythonScriptPath="/t.py"'


def train(options: str) -> str:
    return f"{DATA}train data as PythonAlg.`/m` where {SCRIPT} and {options};"


def kafka(options: str) -> str:
    return train(f'enableDataLocal="false" and {options}')


#: Values that statements refuse are in ``test_plan.py``; here is one for each way in which an error finds its place.
WRONG = [
    (f'{DATA}train data as PythonAlg.»`/m` where pythonScriptPath="";', "no script is given"),
    (f'{DATA}train data as PythonAlg.»`/m` where pythonScriptPath=" ";', "no script is given"),
    # statements
    ("»slect 1 as t;", "there is no statement 'slect'; did you mean 'select'?"),
    ("»!show tables;", "commands such as !show are not supported"),
    ("»drop table x;", "drop is not supported"),
    ("»INSERT into t select 1;", "save append"),
    ("»refresh table x;", "refresh is not supported"),
    ("»create table x as select 1 as y;", "select … as name"),
    ("»unregister PythonAlg.`/m`;", "unregister is not supported"),
    ("»=;", "there is no statement '='"),
    # tables of catalogs
    (f"{DATA}save data as »hive.`db.t`;", "hive is not supported as a format; write table.`db.table`"),
    ("load table.»`` as t;", "the name of the table is empty; give it, such as table.`shop.orders`"),
    # strings and comments
    ('set a=»"b;', '" is opened and never closed'),
    ("set a=»'''b'';", "''' is opened and never closed"),
    ("load csv.»`b as t;", "` is opened and never closed"),
    ("load csv.`b` »/* as t;", "/* is opened and never closed"),
    ("select »'a as t;", "' is opened and never closed"),
    # syntax
    ("load csv.`b` as t\n»load csv.`b` as u;", "expected ';' after 't', got 'load'; a statement ends with ';'"),
    ("load csv.`b` as t\n»select 1 as u;", "a statement ends with ';'"),
    ("select 1 as t\n»load csv.`b` as u;", "a ';' is missing before 'load'"),
    ("select 1 as t\n»select 2 as u;", "a ';' is missing before 'select'"),
    ("load csv.`b`»;", "expected 'as' or 'options' or 'where' or a name after '`b`', got the end of the statement"),
    ("load csv »as t;", "expected '.' after 'csv', got 'as'"),
    ("load »'csv' as t;", "names and paths stand in back-quotes"),
    ("load csv.»/data/x as t;", "a path or name with such characters stands in back-quotes"),
    ("load csv.`b` where a=»true as t;", "values stand in quotes, such as 'true'"),
    ('load csv.`b` where a="1"», b="2" as t;', "options are joined by 'and'"),
    ('load csv.`b` where a="1" »b="2" as t;', "'and' is missing between options"),
    ('load csv.`b` where »="1" as t;', "expected 'as' or a name after 'where', got '='"),
    (DATA + "save data as json.`/o` partitionBy a,»;", "expected a name after ','"),
    (DATA + "save replace »data as json.`/o`;", "expected 'as' after 'replace'"),
    ("set a »'b';", "expected '.' or '=' after 'a'"),
    (
        "load csv.`c` where a='b'»;",
        "expected 'as' after a value in quotes, got the end of the statement",
    ),
    ("select 1»;", "a query ends with the name of its table"),
    ("select a as b from t»;", "a query ends with the name of its table"),
    ("select 1 as 'x'»;", "a query ends with the name of its table"),
    ("include»;", "expected a name or a value in quotes after 'include'"),
    # names
    ("load csv.`b` as »`a b`;", "the name of the table is 'a b'; expected letters, digits and underscores"),
    ("select 1 as »1t;", "not starting with a digit"),
    (DATA + f"register PythonAlg.`/m` as »`a-b` where {SCRIPT};", "the name of the function is 'a-b'"),
    (DATA + "save »dta as json.`/o`;", "there is no table 'dta' before this; did you mean 'data'?"),
    (f"train »data as PythonAlg.`/m` where {SCRIPT};", "there is no table 'data' before this; load it first"),
    (f"predict »data as PythonAlg.`/m` where {SCRIPT} as x;", "there is no table 'data'"),
    # variables
    ("load csv.`/a/»${day}` as t;", "variable 'day' is not set; did you mean 'days'?"),
    ("select '»${dey}' as t;", "variable 'dey' is not set"),
    ('load csv.`b` where a="\\"»${x1}" as t;', "variable 'x1' is not set"),
    ("load csv.`b` where a='''\n\n»${x1}\n''' as t;", "variable 'x1' is not set"),
    ("load csv.`b` as »${x1};", "variable 'x1' is not set"),
    ("set a='»${b}'; set b='${a}';", "variable 'b' is used before it is set, in line 1"),
    ("set a='»${a}';", "variable 'a' is used before it is set, in line 1"),
    ("select '»${date.toString(\"y\")}' as t;", "expressions are not replaced"),
    ("select '»${}' as t;", "is not a variable"),
    ("set a='x»${b';", "${ is opened and never closed"),
    (f"set a='{'x' * 20}';" + "set a='${a}${a}';" * 20 + "set a='${a}»${a}';", "do they grow by each other?"),
    ("set »`a-b`='1';", "'a-b' cannot be a variable"),
    ("set a='ls' where type=»'shell';", "type shell is not supported"),
    ("set a='select 1' where scope='x' and type=»'sql';", "type sql is not supported"),
    ("set a='1' where type=»'config';", "type is 'config'; expected conf or defaultParam"),
    ("set a='1' where »kind='x';", "set has no option 'kind'; known are type"),
    ("set »a='1' where type='conf';", "is not a Spark property"),
    ("set spark.a='1' where type='conf'; set »spark.a='2' where type='conf';", "was set to another value before"),
    # data
    ("load jsonStr.»`text` as t;", "jsonStr loads what a variable holds, and no variable is called 'text'"),
    ("set text='{}';\nload jsonStr.»`txt` as t;", "did you mean 'text'?"),
    ("set a='{}';\nload csvStr.»`{\"a\": 1}` as t;", "no variable is called '{\"a\": 1}'"),
    ("set a='1'; load csvStr.`a` where »multiLine='true' as t;", "csvStr reads line by line"),
    ("set »spark.master='yarn' where type='conf';", "spark.master cannot be set for a job"),
    ("set »spark.submit.deployMode='cluster' where type='conf';", "jobs run in client mode"),
    (train("»fitParam.00.a='1'"), "names no group; expected fitParam.0.<name>"),
    (DATA + "save data as json.`/o` where fileNum=»'1_0';", "fileNum is '1_0'; expected a whole number"),
    ("load »script.`x` as t;", "script is not supported; pythonScriptPath names a script"),
    ("load »hive.`d.t` as t;", "hive is not supported as a format; write table.`db.table`"),
    ("load »modelParams.`PythonAlg` as t;", "modelParams is not supported"),
    ("load csv.»`` as t;", "the path of the csv data is empty"),
    ("load csv.`b` where a='1' and »`a`='2' as t;", "option 'a' is given twice"),
    ("load jdbc.»`db.t` as t;", "connect first"),
    ("connect jdbc where url='x' as db; load jdbc.»`bd.t` as t;", "known are db"),
    ("connect jdbc where user='x' as »db;", "connect needs the url"),
    ("connect »es where a='x' as db;", "connect supports jdbc only"),
    ("connect jdbc where url='x' as db; load jdbc.`db.t` where »directQuery='select 1' as t;", "query"),
    # algorithms
    (DATA + f"train data as »RandomForest.`/m` where {SCRIPT};", "use PythonAlg.`path`"),
    (DATA + f"train data as »pythonalg.`/m` where {SCRIPT};", "is written PythonAlg"),
    (f"register »RandomForest.`/m` as f where {SCRIPT};", "use PythonAlg.`path`"),
    (DATA + f"train data as PythonAlg.`/m` where {SCRIPT} as »`a b`;", "the name of the table of results is 'a b'"),
    (
        DATA + f"train data as PythonAlg.`/m` where {SCRIPT} as r;\nsave »s as orc.`/o`;",
        "no table 's' before this; known are data, r",
    ),
    (DATA + "train data as PythonAlg.»`/m`;", "no script is given; name one as pythonScriptPath"),
    (DATA + f"train data as PythonAlg.»` ` where {SCRIPT};", "the model path is empty"),
    (train("»pythonscriptpath='x'"), "train has no option 'pythonscriptpath'; did you mean 'pythonScriptPath'?"),
    (train("»`fitparam.0.x`='1'"), "did you mean 'fitParam.0.x'?"),
    (train("»fitParam.batchSize='1'"), "names no group; expected fitParam.0.<name>"),
    (train("fitParam.0.a='1' and »fitParam.2.a='1'"), "there is no fitParam.1"),
    (train("»systemParam.pythonpath='x'"), "did you mean 'systemParam.pythonPath'?"),
    (train("validateTable=»'dat'"), "there is no table 'dat' before this; did you mean 'data'?"),
    (train("enableDataLocal=»'yes'"), "enableDataLocal is 'yes'; expected true or false"),
    (train("dataLocalFormat=»' '"), "dataLocalFormat is ' '; expected the name of a Spark format"),
    (train("systemParam.pythonVer=»'2.7'"), "dropped Python 2"),
    (train("systemParam.envs=»'A=b'"), "expected a JSON object"),
    (train("systemParam.envs=»'[1]'"), "expected a JSON object"),
    (train(f"systemParam.envs=»'{'[' * 100_000}'"), "expected a JSON object"),
    (train("systemParam.pythonParam=»'-c \"'"), "expected flags as on a command line"),
    (train("systemParam.requirements=»'/no/such/file'"), "requirements file /no/such/file does not exist"),
    (train("systemParam.requirements=»'/tmp'"), "cannot be read as a requirements file"),
    (train("systemParam.archives=»'/env#env'"), "with a path that ends in .tar.gz"),
    (train("systemParam.timeout=»'inf'"), "expected a number"),
    (train("systemParam.archives=»'/env.zip#a/b'"), "with a name without slashes"),
    (train("scoreMode=»'best'"), "scoreMode is 'best'; expected max or min"),
    (train("keepVersion='false' and »keepVersions='2'"), "give one of them"),
    (train("keepVersions=»'" + "9" * 5000 + "'"), "expected a whole number"),
    (
        DATA
        + "load a.`b` as u; train data as PythonAlg.`/m` where validateTable='data' and »evaluateTable='u' and "
        + SCRIPT
        + ";",
        "mean the same",
    ),
    (train("»enableDataLocal='false' and kafkaParam.topic='t'"), "names no broker"),
    (train("»enableDataLocal='false' and kafkaParam.bootstrap.servers='b:1'"), "no topic is given"),
    (kafka("kafkaParam.topic='t' and »kafkaParam.bootstrap.servers='b'"), "without a port"),
    (kafka("kafkaParam.bootstrap.servers='b:1' and kafkaParam.topic='t' and kafkaParam.reuse=»'yes'"), "expected true or false"),
    (
        kafka("kafkaParam.bootstrap.servers='b:1' and kafkaParam.topic='t' and »kafkaParam.bach.size='1'"),
        "there is no Kafka setting",
    ),
    (kafka("kafkaParam.bootstrap.servers='b:1' and kafkaParam.topic=»'a b'"), "expected up to 200 letters"),
    (
        f"register PythonAlg.`/m` as f where {SCRIPT} and »systemParam.pythonPath='python';",
        "register has no systemParam.pythonPath: a registered function runs in the executors' own Python; set Spark's property",
    ),
    (f"register PythonAlg.`/m` as f where {SCRIPT} and minScore=»'good';", "expected a number"),
    (
        f"register PythonAlg.`/m` as f where {SCRIPT} and »algindx='1';",
        "register has no option 'algindx'; did you mean 'algIndex'?",
    ),
    (DATA + f"predict data as PythonAlg.`/m` where {SCRIPT} and fitParam.0.a='1' and »fitParam.1.a='1' as x;", "one group"),
    (DATA + f"predict data as PythonAlg.`/m` where {SCRIPT} and sameRows=»'no' as x;", "expected true or false"),
]


def place(text: str) -> tuple[str, int, int]:
    """The text without the mark, and the line and column that it stands at."""
    before, _, behind = text.partition(MARK)
    return before + behind, before.count("\n") + 1, len(before) - before.rfind("\n")


@pytest.mark.parametrize(("text", "message"), WRONG, ids=lambda value: str(value)[:50])
def test_wrong_scripts(text: str, message: str) -> None:
    script, line, column = place(text)
    found = check_script(script, name="x.mlsql", folder="/nowhere", variables={"days": "1"})
    error = found[0]
    assert message in error.message
    assert error.message.startswith(f"x.mlsql:{line}:{column}: ")
    assert error.origin == Origin("x.mlsql", line, column)


def test_an_error_shows_the_line_and_a_caret() -> None:
    with pytest.raises(InputError) as caught:
        compile_script("load a.`b` as t;\r\n\tsave 表 as json.`/o`;\r\n", name="x.mlsql")
    assert caught.value.message.split("\n") == [
        "x.mlsql:2:7: the table is '表'; expected letters, digits and underscores, not starting with a digit",
        "    \tsave 表 as json.`/o`;",
        "    \t     ^^",
    ]


def test_a_long_line_is_cut() -> None:
    (error,) = check_script("load a.`b` as t;" + " " * 10_000 + "sve t as json.`/o`;" + " " * 10_000)
    *_, line, caret = error.message.split("\n")
    assert len(line) < 110
    assert line[caret.index("^") :].startswith("sve")


def test_all_errors_are_reported_and_none_because_of_another() -> None:
    script = """
    lod a.`b` as data;
    set x='${y}';
    load a.`${x}` where a=b as data;
    train data as PythonAlg.`/m` where pythonScriptPath="/t.py" and one="1" and two="2" and scoreMode="3";
    save data as json.`/o`;
    """
    found = check_script(script)
    assert [(error.origin.line, error.origin.column) for error in found if error.origin] == [
        (2, 5),
        (3, 12),
        (4, 27),
        (5, 69),
        (5, 81),
        (5, 103),
    ]
    with pytest.raises(InputError) as caught:
        compile_script(script)
    assert caught.value.message.startswith("6 errors\nscript.mlsql:2:5: ")
    assert all(error.message in caught.value.message for error in found)


def test_errors_cross_processes() -> None:
    (error,) = check_script("drop x;")
    again = errors.from_json(errors.to_json(error))
    assert (type(again), again.message, again.origin) == (InputError, error.message, error.origin)


@pytest.mark.parametrize(
    "text",
    [
        "train data as PythonAlg.`/m` where pythonScriptPath='${x}';",
        f"train data as PythonAlg.`/m` where {SCRIPT} and enableDataLocal='false' and kafkaParam.topic='${{x}}';",
        "register PythonAlg.`/m` as f where pythonScriptPath='${x}';",
        "load jdbc.`a.b` where url='${x}' as t;",
        "load csv.`${x}` as t; save t as csv.`/o`;",
        "connect jdbc where url='${x}' as db; load jdbc.`db.t` as t;",
        "select ${x} as t; save t as csv.`/o`;",
    ],
)
def test_a_variable_that_is_not_set_is_one_error(text: str) -> None:
    (error,) = check_script(DATA + text)
    assert "variable 'x' is not set" in error.message


@pytest.mark.parametrize(
    "options",
    [
        "password='hunter2' as",
        "password='hunter2' 'hunter2' as db",
        "`kafkaParam.sasl.password`=\"hunter2\" , a='b' as db",
        "password='''hunter2''' or as db",
        'password="\\"hunter2" or as db',
        "password='hunter2",
        'systemParam.envs="{\\"API_KEY\\": \\"hunter2\\"}" or as db',
        "systemParam.envs='''{\"API_KEY\": \"hunter2\"}''' or as db",
    ],
)
def test_errors_show_no_secrets(options: str) -> None:
    (error,) = check_script(f"connect jdbc where url='x' and {options};")
    assert "hunter2" not in error.message.replace(" 'hunter2' as db", "")
    assert "*******" in error.message


def test_a_hundred_errors_are_enough() -> None:
    assert len(check_script("x;" * 1000)) == 100


def test_a_right_script_has_no_errors() -> None:
    assert check_script(DATA) == ()


@pytest.mark.parametrize("value", [None, ["a"], {"a": 1}])
def test_a_variable_is_text_or_a_number(value: Any) -> None:
    with pytest.raises(InputError, match=r"variable 'x' is .*; expected text, a number, true or false"):
        compile_script("load csv.`${x}` as t;", variables={"x": value})


def test_two_functions_of_one_name() -> None:
    twice = [FunctionRef(name=name, model_path="/m", function="f") for name in ("jack", "Jack")]
    with pytest.raises(InputError, match="two functions are called Jack"):
        compile_script("load csv.`/d` as t;", functions=twice)


def test_a_script_without_a_statement_can_be_checked_but_not_run() -> None:
    assert check_script("set a='1';") == ()
    with pytest.raises(InputError, match="no statement that does anything"):
        compile_script("set a='1';").with_preview(20)


@pytest.mark.parametrize(
    "url",
    ["jdbc:mysql://h/d?user=u&password=hunter2", "jdbc:x://h;pwd=hunter2;a=b", "s3a://KEY:hunter2@bucket", "x?token=hunter2"],
)
def test_secrets_in_addresses_are_not_shown(url: str) -> None:
    (error,) = check_script(f'connect jdbc where url="{url}" and driver="x" and driver="y" as db;')
    assert "hunter2" not in error.message
    assert "*******" in error.message


def test_the_value_of_a_variable_is_not_shown() -> None:
    text = train('scoreMode="${mode}"') + "load jdbc.`${mode}.t` as u;"
    found = check_script(text, variables={"mode": "topsecret"})
    assert [error.message.partition(": ")[2].partition(";")[0] for error in found] == [
        "scoreMode is '${mode}'",
        "jdbc: '${mode}.t' is not an `alias.table` of a connect before this",
    ]
