"""``mlsql fit``: what a training gets, and both kinds of report."""

from __future__ import annotations

import gzip
import json

import fsspec
from support.fit_command import GOOD, SAVE, FitCommand
from support.workbench import SAMPLE

DATA = f"libsvm.`{SAMPLE}`"


TRAIN = """
import pickle
import mlsql, mlsql_model
for X, y in mlsql.read_batches(30):
    mlsql.report(step=X.shape[0], loss=0.5)
mlsql_model.sk_save_model(b"x" * 20_000)
print(f"mlsql_validation_score:{len(mlsql.get_validate_data()[0]) / 100}")
"""


def test_a_script_is_trained_and_validated_and_its_model_kept(fit: FitCommand) -> None:
    """As a shell runs the command."""
    done = fit.in_child(fit.write(TRAIN), "--data", DATA, "--validate", "0.2", "--model-dir", "a/model")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert " rows as parquet files, " in lines[0]
    assert "[fit 0] step 30: loss=0.5" in lines
    facts = {line[:8].strip(): line[9:] for line in lines[lines.index("") + 1 :]}
    assert facts["status"] == "success"
    assert 0.05 < float(facts["score"]) < 0.4
    assert facts["metrics"] == "loss 0.5"
    assert facts["model"] == "model.pickle  19.5 KiB"
    assert facts[""] == f"in {fit.folder}/a/model"
    assert (fit.folder / "a/model/model.pickle").stat().st_size > 20_000
    assert fit.left == []


def test_the_json_report(fit: FitCommand) -> None:
    script = fit.write(
        SAVE + "X, y = mlsql.get_validate_data(); mlsql.report(step=1, width=X.shape[1]);print('mlsql_validation_score:0.75')"
    )
    report = fit.report(script, "--data", DATA, "--validate-data", DATA, "--data-format", "parquet")
    assert "[fit 0] mlsql_validation_score:" in report.pop("stderr")
    seconds = report.pop("seconds")
    assert 0 < seconds["data"] + seconds["script"] <= seconds["total"]
    (file,) = report.pop("files")
    assert file["path"] == "model.pickle"
    assert report == {
        "status": "success",
        "message": None,
        "score": 0.75,
        "metrics": {"width": 692.0},
        "rows": 100,
        "validate_rows": 100,
        "model_dir": None,
        "folder": None,
        "tail": [],
    }
    assert fit.left == []


SVC = ["--fit-param", "moduleName=sklearn.svm", "--fit-param", "className=SVC"]


def test_a_built_in_algorithm_needs_no_script(fit: FitCommand) -> None:
    report = fit.report("--builtin", "sklearn", "--data", DATA, "--validate-data", DATA, *SVC, "--fit-param", "C=0.5")
    assert "SVC(C=0.5)" in report["stderr"]
    assert (report["status"], report["score"]) == ("success", 1.0)


def test_a_seed(fit: FitCommand) -> None:
    script = fit.write(GOOD + "\nimport random; print('drawn', mlsql.seed(), random.random())")
    first, second = (fit(script, "--data", "rows.json", "--seed", "7").stdout for _ in range(2))
    (line,) = [line for line in first.splitlines() if "drawn 7 0." in line]
    assert line in second


def test_the_parameters_of_a_script(fit: FitCommand) -> None:
    fit.write("words", "words.txt")
    fit.write("1", "many/deep/x.txt")
    source = f"""
import json, mlsql, os, sys
import helper
p = mlsql.params()
words = p["internalSystemParam"]["resource"]
print("found:" + json.dumps([p["fitParam"], p["kafkaParam"], p["systemParam"], p["internalSystemParam"]["algIndex"],
    open(words["words"]).read(), os.listdir(words["many"] + "/deep"), os.environ["COLOUR"], sys.flags.dev_mode,
    os.environ["OMP_NUM_THREADS"], sorted(os.listdir(mlsql.internal_system_param["tempDataLocalPath"])), helper.X]))
{GOOD}
"""
    fit.write(source, "script/train.py")
    fit.write("X = 7", "script/helper.py")
    arguments = ["--fit-param", "a=1=2", "--fit-param", "resource.words=words.txt", "--fit-param", "resource.many=many"]
    done = fit("script", "--data", "rows.json", *arguments, "--env", "COLOUR=red", "--python-param", "-X dev")
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "found:" in line]
    system = {"pythonParam": "-X dev", "envs": "COLOUR"}
    found = json.loads(line.partition("found:")[2])
    assert found == [{"a": "1=2"}, {}, system, "0", "words", ["x.txt"], "red", True, "1", ["part-00000.json"], 7]


def test_patterns_compressed_files_and_other_storage(fit: FitCommand, s3_server: str) -> None:
    (fit.folder / "x-1.json.gz").write_bytes(gzip.compress(b'{"a":1}\n'))
    (fit.folder / "x-2.json.gz").write_bytes(gzip.compress(b'{"a":2}\n{"a":3}\n'))
    script = fit.write(GOOD)
    assert fit.report(script, "--data", "x-*.json.gz")["rows"] == 3
    fsspec.filesystem("s3").pipe_file(f"{s3_server.removeprefix('s3://')}/fit/part-0.csv", b"a,b\n1,2\n")
    report = fit.report(script, "--data", f"csv.`{s3_server}/fit`", "--option", "header=true", "--model-dir", f"{s3_server}/m")
    assert report["rows"] == 1
    assert report["model_dir"] == f"{s3_server}/m"
    fsspec.filesystem("s3").invalidate_cache()
    assert fsspec.filesystem("s3").exists(f"{s3_server}/m/model.pickle")


def test_help_fits_a_terminal(fit: FitCommand) -> None:
    done = fit("--help")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "mlsql fit train.py --data" in done.stdout


def test_the_same_rows_are_held_out_each_time(fit: FitCommand) -> None:
    source = SAVE + "print('held', sorted(mlsql.get_validate_data()[0][:, 0]))"
    fit.write("\n".join(f'{{"features":[{n}],"label":0}}' for n in range(50)), "many.json")
    runs = [fit.report(fit.write(source), "--data", "many.json", "--validate", "0.3") for _ in range(2)]
    held = [[line for line in run["stderr"].splitlines() if "held" in line] for run in runs]
    assert held[0] == held[1]
    assert runs[0]["rows"] + runs[0]["validate_rows"] == 50
    assert 5 < runs[0]["validate_rows"] < 25


CHURN = '{"Age":30,"city":"a","Churned":"yes"}\n{"Age":null,"city":null,"Churned":"no"}\n' * 20
FRAMES = """
import mlsql, mlsql_model
frame, held = mlsql.all_frame(), mlsql.get_validate_frame()
print(list(frame.columns), mlsql.signature().classes, mlsql.signature().features[0])
mlsql.report(rows=len(frame), held=len(held), yes=(held["Churned"] == "yes").sum(), nulls=frame["Age"].isna().sum())
mlsql_model.sk_save_model(1)
"""


def test_named_columns_as_in_a_job(fit: FitCommand) -> None:
    (fit.folder / "churn.json").write_text(CHURN)
    options = ["--feature-cols", "age,city", "--label-col", "churned", "--validate", "0.2", "--stratify"]
    report = fit.report(fit.write(FRAMES), "--data", "churn.json", *options)
    assert report["metrics"] == {"rows": 32, "held": 8, "yes": 4, "nulls": 16}
    assert "['Age', 'city', 'Churned'] ('no', 'yes') Age bigint" in report["stderr"]


def test_a_fraction_that_holds_nobody_out_is_mentioned(fit: FitCommand) -> None:
    done = fit(fit.write(GOOD), "--data", "rows.json", "--validate", "0.0001")
    assert "[mlsql] no row of 2 is held out: 0.0001 of them is less than one row" in done.stdout
