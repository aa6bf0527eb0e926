"""The files of ``tempDataLocalPath`` are written when a script first asks for them, in whichever way it does."""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlsql_runtime.errors import DataError
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.script.data_request import answering_requests, await_data_files

pytestmark = pytest.mark.timeout(60)
Run = Callable[..., Any]

ASKS = {
    "item": "mlsql.internal_system_param['tempDataLocalPath']",
    "get": "mlsql.internal_system_param.get('tempDataLocalPath')",
    "get_param": "mlsql.get_param(mlsql.internal_system_param, 'tempDataLocalPath', None)",
    "setdefault": "mlsql.internal_system_param.setdefault('tempDataLocalPath', '')",
    "pop": "mlsql.internal_system_param.pop('tempDataLocalPath')",
    "items": "dict(list(mlsql.internal_system_param.items()))['tempDataLocalPath']",
    "values": "[value for value in mlsql.internal_system_param.values() if str(value).endswith('data')][0]",
    "popitem": "dict(mlsql.internal_system_param.popitem() for _ in range(3))['tempDataLocalPath']",
    "dict": "dict(mlsql.internal_system_param)['tempDataLocalPath']",
    "copy": "mlsql.internal_system_param.copy()['tempDataLocalPath']",
    "unpacked": "{**mlsql.internal_system_param}['tempDataLocalPath']",
    "union": "(mlsql.internal_system_param | {})['tempDataLocalPath']",
    "update": "[each for each in [{}] if each.update(mlsql.internal_system_param) is None][0]['tempDataLocalPath']",
    "arguments": "(lambda tempDataLocalPath, **_: tempDataLocalPath)(**mlsql.internal_system_param)",
    "text": "eval(str(mlsql.internal_system_param))['tempDataLocalPath']",
    "params": "mlsql.params()['internalSystemParam']['tempDataLocalPath']",
    "params as JSON": "json.loads(json.dumps(mlsql.params(), indent=1))['internalSystemParam']['tempDataLocalPath']",
    "params in C": "json.loads(json.dumps(mlsql.params()))['internalSystemParam']['tempDataLocalPath']",
    "params deeply copied": "copy.deepcopy(mlsql.params())['internalSystemParam']['tempDataLocalPath']",
    "params pickled": "pickle.loads(pickle.dumps(mlsql.params()))['internalSystemParam']['tempDataLocalPath']",
    "child": "subprocess.run([sys.executable, '-c', 'import mlsql; print(mlsql.internal_system_param[\"tempDataLocalPath\"])'],"
    " capture_output=True, text=True, check=True).stdout.strip()",
}
READ = (
    "import copy, json, mlsql, os, pickle, subprocess, sys\npath = {}\nprint(open(os.path.join(path, 'part-00000.json')).read())"
)
IN_CHILDREN = ("item", "params as JSON", "child")


class Writer:
    """Writes the folder as late as it can; counts how often it is asked to."""

    def __init__(self, folder: Path, seconds: float = 0.05) -> None:  # longer than the pause between two looks for the reply
        self.folder, self.seconds, self.calls = folder, seconds, 0

    def __call__(self, is_cancelled: Callable[[], bool]) -> None:
        self.calls += 1
        incomplete = self.folder.with_name("incomplete")
        incomplete.mkdir()
        (incomplete / "part-00000.json").write_text("complete")
        time.sleep(self.seconds)
        incomplete.rename(self.folder)


def table_of(folder: Path, write: Callable[[Callable[[], bool]], None]) -> TableFiles:
    """A table whose files ``write`` writes on request."""

    class Written(TableFiles):
        def write_local_files(self, is_cancelled: Callable[[], bool]) -> None:
            write(is_cancelled)

    return Written(path=f"{folder}.parquet", format="parquet", options={}, rows=3, schema="", json_path=str(folder))


def announced(folder: Path) -> str:
    return f"writing 3 rows as JSON files to {folder}, for which the script asks"


@pytest.mark.parametrize("way", IN_CHILDREN)
def test_files_are_complete_when_the_script_has_their_path(run: Run, tmp_path: Path, way: str) -> None:
    write = Writer(tmp_path / "data")
    ran = run(READ.format(ASKS[way]), data=table_of(tmp_path / "data", write))
    assert ran.outcome.problem is None, ran.lines
    assert (ran.lines, write.calls) == ([announced(tmp_path / "data"), "complete"], 1)


@pytest.mark.parametrize("way", [way for way in ASKS if way not in IN_CHILDREN])
def test_files_are_complete_in_whichever_way_a_script_asks(import_mlsql: Run, tmp_path: Path, way: str) -> None:
    request, write = tmp_path / "data.request", Writer(tmp_path / "data")
    names = {"mlsql": import_mlsql(data=table_of(tmp_path / "data", write), data_request=str(request))}
    with answering_requests(request, write):
        path = eval(ASKS[way], {**names, "copy": copy, "json": json, "pickle": pickle})
        assert (Path(path) / "part-00000.json").read_text() == "complete"
    assert write.calls == 1


def test_whatever_asks_again_finds_the_same_files(run: Run, tmp_path: Path) -> None:
    write = Writer(tmp_path / "data")
    source = "\n".join([READ.format(ASKS["child"]), *[READ.format(ASKS["dict"])] * 2])
    assert run(source, data=table_of(tmp_path / "data", write)).lines == [announced(tmp_path / "data"), *["complete"] * 3]
    assert write.calls == 1


def test_nothing_is_written_for_a_script_that_does_not_ask(run: Run, tmp_path: Path) -> None:
    source = """
import mlsql
assert "tempDataLocalPath" in mlsql.internal_system_param
given = mlsql.params()["internalSystemParam"]
print(given["tempModelLocalPath"] == mlsql.internal_system_param.get("tempModelLocalPath"), sorted(given), len(given))
"""
    write = Writer(tmp_path / "data")
    ran = run(source, data=table_of(tmp_path / "data", write))
    assert ran.lines == ["True ['resource', 'tempDataLocalPath', 'tempModelLocalPath'] 3"]
    assert write.calls == 0


def test_an_error_of_the_writer_is_raised_in_the_script(run: Run, tmp_path: Path) -> None:
    def write(_: Callable[[], bool]) -> None:
        raise DataError("no room")

    source = f"""
import mlsql
for _ in range(2):
    try:
        {ASKS["item"]}
    except Exception as error:
        print(type(error).__name__, error)
"""
    ran = run(source, data=table_of(tmp_path / "data", write))
    assert ran.lines[1:] == ["DataError the files of tempDataLocalPath cannot be written: no room"] * 2


def test_a_script_does_not_wait_when_not_even_the_error_can_be_written(tmp_path: Path) -> None:
    request = tmp_path / "data.request"
    (tmp_path / "data.request.reply.incomplete").mkdir()
    with answering_requests(request, lambda _: None):
        for _ in range(2):
            with pytest.raises(DataError, match="nor the reason; look for room on the disk"):
                await_data_files(str(request))


def test_a_script_that_runs_again_after_its_job_does_not_wait(tmp_path: Path) -> None:
    write = Writer(tmp_path / "data")
    with answering_requests(tmp_path / "data.request", write):
        pass
    with pytest.raises(DataError, match="cannot be written: the job that would write them has ended"):
        await_data_files(str(tmp_path / "data.request"))
    assert write.calls == 0


def test_writing_is_cancelled_when_the_script_ends(run: Run, tmp_path: Path) -> None:
    cancelled = []

    def write(is_cancelled: Callable[[], bool]) -> None:
        while not is_cancelled():
            time.sleep(0.01)
        cancelled.append(True)

    asks = f"threading.Thread(target=lambda: {ASKS['item']}).start()"
    waits = "while not os.path.exists('../data.request'): time.sleep(0.01)"
    ran = run(f"import mlsql, os, threading, time\n{asks}\n{waits}\nos._exit(3)", data=table_of(tmp_path / "data", write))
    assert ran.outcome.problem == "it ended with exit code 3"
    assert cancelled == [True]


def test_the_time_of_writing_does_not_count_to_the_timeout(run: Run, tmp_path: Path) -> None:
    table = table_of(tmp_path / "data", Writer(tmp_path / "data", seconds=4.0))
    source = f"{READ.format(ASKS['item'])}\nprint('read', flush=True)\nimport time\ntime.sleep(60)"
    ran = run(source, data=table, python=PythonEnv(timeout=3))
    assert (ran.outcome.timed_out, ran.lines[1:]) == (True, ["complete", "read"])
