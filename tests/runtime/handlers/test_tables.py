"""load from text, save in so many files, the table of a training's results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.showing import shown
from support.workbench import RunPlan, Script

from mlsql_runtime.plan import Load, Predict, Save, Select, Show, Train
from mlsql_runtime.result import SaveResult


def test_json_text(run_plan: RunPlan) -> None:
    table = Load(table="t", format="json", text='{"a": 1, "b": "x;y"}\n\n{"a": 2}\r\n')
    assert shown(run_plan, table, Show(table="t")).rows == ((1, "x;y"), (2, None))


def test_json_text_over_lines(run_plan: RunPlan) -> None:
    table = Load(table="t", format="json", text='[{"a":\n 1},\n {"a": 2}]', options={"multiLine": "true"})
    assert shown(run_plan, table, Show(table="t")).rows == ((1,), (2,))


def test_only_line_ends_end_lines(run_plan: RunPlan) -> None:
    table = Load(table="t", format="json", text='{"a": "x\u2028y\x85"}\r{"a": "z"}')
    assert shown(run_plan, table, Show(table="t")).rows == (("x\u2028y\x85",), ("z",))


def test_csv_text(run_plan: RunPlan) -> None:
    table = Load(table="t", format="csv", text="a|b\n1|é\n2|", options={"header": "true", "sep": "|", "inferSchema": "true"})
    found = shown(run_plan, table, Show(table="t"))
    assert (found.columns, found.rows) == (("a", "b"), ((1, "é"), (2, None)))


def test_csv_text_has_a_row_in_each_line(run_plan: RunPlan) -> None:
    result = run_plan(Load(table="t", format="csv", text='a,b\n"x\ny",2', options={"multiLine": "true"}))
    assert result.error is not None
    assert "csvStr has one row in each line" in result.error["message"]


def test_the_number_of_files(run_plan: RunPlan, tmp_path: Path) -> None:
    result = run_plan(Save(table="data", format="parquet", path=str(tmp_path / "o"), file_num=3))
    result.raise_for_error()
    assert len(list((tmp_path / "o").glob("*.parquet"))) == 3
    assert result.steps[-1] == SaveResult(format="parquet", output=str(tmp_path / "o"), rows=100)


def test_results_of_a_training_are_a_table(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    source = (
        "import mlsql, mlsql_model; print('mlsql_validation_score:%f' % float(mlsql.fit_param['alpha']));"
        "mlsql_model.sk_save_model(1)"
    )
    train = Train(
        table="data",
        model_path=str(tmp_path / "m"),
        script_path=script(source),
        fit_params=({"alpha": "1.0"}, {"alpha": "nonsense"}),
        validate_table="data",
        result="groups",
    )
    query = Select(table="best", sql="select algIndex, status, score is null, trainParams['alpha'] from groups order by algIndex")
    found = shown(run_plan, train, query, Show(table="best"))
    assert found.rows == ((0, "success", False, "1.0"), (1, "fail", True, "nonsense"))


def test_files_that_a_table_is_made_from_are_not_overwritten(run_plan: RunPlan, tmp_path: Path) -> None:
    """Spark removes the files before it reads them."""
    path = tmp_path / "t [1]"
    rows = Select(table="rows", sql="select id from range(3)")
    run_plan(rows, Save(table="rows", format="parquet", path=str(path))).raise_for_error()
    for source in (str(path), f"file:{path}/*.parquet"):
        error = run_plan(
            Load(table="old", format="parquet", path=source),
            Select(table="new", sql="select id + 1 as id from old"),
            Save(table="new", format="parquet", path=f"{path}/", mode="overwrite"),
        ).error
        assert error is not None
        assert (error["kind"], error["statement"]) == ("InputError", 3)
        assert f"save overwrites {path}/, from which table 'old' is read" in error["message"]
    found = shown(run_plan, Load(table="old", format="parquet", path=str(path)), Show(table="old"))
    assert sorted(found.rows) == [(0,), (1,), (2,)]
    days = str(tmp_path / "days")
    daily = Select(table="daily", sql="select id, id + 1 as day from range(3)")
    run_plan(daily, Save(table="daily", format="parquet", path=days, partition_by=("day",))).raise_for_error()
    load = Load(table="old", format="parquet", path=days)
    error = run_plan(load, Save(table="old", format="parquet", path=f"{days}/day=1", mode="overwrite")).error
    assert error is not None
    assert "from which table 'old' is read" in error["message"]
    run_plan(load, Save(table="old", format="json", path=f"{days}/json", mode="overwrite")).raise_for_error()


def test_the_same_files_are_found_by_every_name_that_they_have(run_plan: RunPlan, tmp_path: Path) -> None:
    rows, path = Select(table="rows", sql="select id from range(3)"), tmp_path / "all/a/rows"
    run_plan(rows, Save(table="rows", format="parquet", path=str(path))).raise_for_error()
    (tmp_path / "link").symlink_to(tmp_path / "all/a")
    (tmp_path / "target").symlink_to(path)
    load = Load(table="t", format="parquet", path=str(path))
    reads = [
        replace(load, path=f"file:{tmp_path}/link/rows"),
        replace(load, path=f"file://{tmp_path}/all/*/rows/"),
        Select(table="t", sql=f"select * from parquet.`{path}`"),
    ]
    for read, target in [(read, str(path)) for read in reads] + [
        (load, f"file://{tmp_path}/target/"),
        (load, f"{tmp_path}/link"),
    ]:
        error = run_plan(read, Save(table="t", format="parquet", path=target, mode="overwrite")).error
        assert error is not None, (read, target)
        assert "from which table 't' is read" in error["message"], (read, target)
    beside = f"{tmp_path}/all/b/rows"
    run_plan(replace(load, path=f"{tmp_path}/all/*/rows"), Save(table="t", format="parquet", path=beside)).raise_for_error()
    assert len(shown(run_plan, load, Show(table="t")).rows) == 3


def test_partitions_that_a_table_is_made_from_are_replaced(run_plan: RunPlan, tmp_path: Path) -> None:
    """With dynamic overwriting, Spark removes files when the new ones are complete."""
    path = str(tmp_path / "days")
    daily = Select(table="daily", sql="select id, id + 1 as day from range(3)")
    run_plan(daily, Save(table="daily", format="parquet", path=path, partition_by=("day",))).raise_for_error()
    load = Load(table="old", format="parquet", path=path)
    save = Save(table="new", format="parquet", path=path, partition_by=("day",), mode="overwrite")
    query = Select(table="new", sql="select id + 10 as id, day from old where day = 1")
    run_plan(load, query, replace(save, options={"partitionOverwriteMode": "DYNAMIC"})).raise_for_error()
    found = shown(run_plan, load, Show(table="old"))
    assert sorted(found.rows) == [(1, 2), (2, 3), (10, 1)]
    error = run_plan(load, query, save).error
    assert error is not None
    assert error["kind"] == "InputError"


def test_predictions_may_replace_what_was_predicted(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    """They are stored when the save begins: Spark does not read their source again."""
    model, path = str(tmp_path / "m"), str(tmp_path / "rows")
    run_plan(
        Select(table="rows", sql="select label from data limit 3"),
        Save(table="rows", format="parquet", path=path),
        Train(table="data", model_path=model, script_path=script("import mlsql_model; mlsql_model.sk_save_model(1)")),
    ).raise_for_error()
    copy = "import mlsql, shutil; p = mlsql.internal_system_param; shutil.copy(p['tempDataLocalPath'], p['tempOutputLocalPath'])"
    run_plan(
        Load(table="rows", format="parquet", path=path),
        Predict(table="rows", model_path=model, script_path=script(copy), result="predicted"),
        Save(table="predicted", format="parquet", path=path, mode="overwrite"),
    ).raise_for_error()
    assert len(shown(run_plan, Load(table="new", format="parquet", path=path), Show(table="new")).rows) == 3


def test_what_is_saved_is_loaded_by_the_same_path(run_plan: RunPlan, tmp_path: Path) -> None:
    for name in ("out [1]", "a{b}c", "q?", "st*r", "back\\slash", "%20 #+ü"):
        path = str(tmp_path / name)
        rows = Select(table="rows", sql=f"select '{len(name)}' as name")
        save = Save(table="rows", format="json", path=path)
        found = shown(run_plan, rows, save, Load(table="t", format="json", path=path), Show(table="t"))
        assert found.rows == ((str(len(name)),),)
        file = next(each.name for each in Path(path).glob("*.json"))
        for pattern in (f"{path}/{file}", f"{path}/*.json", f"file:{path}/{{x,{file}}}"):
            assert shown(run_plan, Load(table="t", format="json", path=pattern), Show(table="t")).rows == ((str(len(name)),),)


def test_a_batch_script_whose_model_path_has_brackets(run_plan: RunPlan, tmp_path: Path, script: Script) -> None:
    model = str(tmp_path / "m [1]{2}")
    train = Train(table="data", model_path=model, script_path=script("import mlsql_model; mlsql_model.sk_save_model(1)"))
    run_plan(train).raise_for_error()
    copy = "import mlsql, shutil; p = mlsql.internal_system_param; shutil.copy(p['tempDataLocalPath'], p['tempOutputLocalPath'])"
    predict = Predict(table="few", model_path=model, script_path=script(copy), result="copied")
    few = Select(table="few", sql="select label from data limit 3")
    assert len(shown(run_plan, few, predict, Show(table="copied")).rows) == 3
