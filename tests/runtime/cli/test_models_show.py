"""mlsql models show: a version in full."""

from __future__ import annotations

from support.model_commands import EVERY_STORAGE, TIME, Capture, Fail, Package, Publish, PublishSources, from_json

from mlsql_runtime.cli.main import main
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions
from mlsql_runtime.store.curve_files import encode_curves
from mlsql_runtime.store.curves import Curve
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.store.signature import Column, Signature
from mlsql_runtime.store.sources import Source, SourceFiles, TableVersion


def test_a_version_is_shown_in_full(root: Location, publish: Publish, fail: Fail, package: Package, capsys: Capture) -> None:
    publish(root, 0.5, 0.75)
    fail(root)
    functions.set_current(root, package(root, "jack", 1))
    assert main(["models", "show", root.uri]) == 0
    out = capsys.readouterr().out
    for text in (
        "version          1\n",
        "state            complete\n",
        "published (UTC)  2024-05-01 12:00\n",
        "description      nightly, of all mail\n",
        "script           train.py, SHA-256 " + "0" * 64,
        "best             group 1, score 0.75\n",
        "scores           higher is better\n",
        "rows             150 for training, 0 held out\n",
        "features         features, vectors of 4\n",
        "functions        jack (current)\n",
        "\ncolumns\n  features  vector\n",
        "\nparameters\n  pythonVer  3\n",
        "\nenvironment\n  python  3.11.0\n",
        "\ngroup 1: success, score 0.75, 1.5 s\n  parameters  alpha=0.1\n  metrics     loss=0.25, auc=none\n",
        "\n2 files, 18 B\n",
        "  model/1/model.bin   9 B\n",
    ):
        assert text in out


def test_metric_curves_are_summed_up(local_root: Location, fail: Fail, capsys: Capture) -> None:
    fail(local_root)
    curve = Curve(steps=(0, 10, 20), values=(0.5, None, 0.25), reports=300)
    (local_root / "_model_1/curves.json").write(encode_curves({"0": {"loss": curve}}))
    assert main(["models", "show", local_root.uri, "1"]) == 0
    assert "  curve loss  0.5 to 0.25 in 300 reports, lowest 0.25, highest 0.5\n" in capsys.readouterr().out
    shown = from_json(capsys, "models", "show", local_root.uri, "1")["curves"]
    assert shown == {"0": {"loss": {"steps": [0, 10, 20], "values": [0.5, None, 0.25], "reports": 300}}}


def test_the_sources_of_a_version_are_shown(local_root: Location, publish_sources: PublishSources, capsys: Capture) -> None:
    publish_sources(
        local_root,
        Source(
            table="data",
            kind="load",
            format="csv",
            path="/d",
            options={"header": "true"},
            files=SourceFiles(count=2, size=2048, newest=TIME),
        ),
        Source(table="shop.orders", kind="table", format="delta", version=TableVersion(id="7", committed=TIME)),
        Source(table="selected", kind="select", sql="select *\nfrom data"),
    )
    assert main(["models", "show", local_root.uri]) == 0
    assert (
        "\nsource data: load\n  format         csv\n  path           /d\n  option header  true\n"
        "  files          2\n  bytes          2.0 KiB\n  newest file    2026-01-02 03:04\n"
        "\nsource shop.orders: table\n  format           delta\n  version          7\n  version written  2026-01-02 03:04\n"
        "\nsource selected: select\n  sql  select * from data\n"
    ) in capsys.readouterr().out
    shown = from_json(capsys, "models", "show", local_root.uri)["sources"]
    assert [source["table"] for source in shown] == ["data", "shop.orders", "selected"]
    assert shown[0]["files"] == {"count": 2, "size": 2048, "newest": "2026-01-02T03:04:00+00:00"}
    assert shown[1]["version"] == {"id": "7", "committed": "2026-01-02T03:04:00+00:00", "since": None}


def test_the_signature_of_a_version_is_shown(local_root: Location, publish_sources: PublishSources, capsys: Capture) -> None:
    features = (Column(name="age", type="bigint"), Column(name="city", type="string"))
    signature = Signature(features=features, label=Column(name="churned", type="string"), classes=("no", "yes"))
    publish_sources(local_root, signature=signature)
    assert main(["models", "show", local_root.uri]) == 0
    shown = "\nsignature\n  features  age bigint, city string\n  label     churned string\n  classes   no, yes\n"
    assert shown in capsys.readouterr().out
    assert from_json(capsys, "models", "show", local_root.uri)["signature"]["classes"] == ["no", "yes"]


@EVERY_STORAGE
def test_the_json_of_a_version_has_documented_keys(root: Location, publish: Publish, fail: Fail, capsys: Capture) -> None:
    manifest = publish(root, 0.5)
    fail(root, "no good")
    shown = from_json(capsys, "models", "show", root.uri)
    failed = from_json(capsys, "models", "show", root.uri, "2")
    with claim_version(root, "job-9"):
        unfinished = from_json(capsys, "models", "show", root.uri, "3")
    keys = (
        "model_path version state created job_id task message description imported script greater_is_better best score data "
        "signature sources parameters environment fits tails curves files size functions"
    )
    assert list(shown) == list(failed) == list(unfinished) == keys.split()
    assert shown["files"] == [{"path": "model/0/model.bin", "size": 9, "sha256": manifest.files[0].sha256}]
    assert shown["fits"][0] == {
        "alg_index": 0,
        "status": "success",
        "score": 0.5,
        "metrics": {"loss": 0.25, "auc": None},
        "seconds": 1.5,
        "message": None,
        "params": {"alpha": "0.1"},
        "started": "2024-05-01T12:00:00+00:00",
        "ended": "2024-05-01T12:00:01.500000+00:00",
        "packages": {},
    }
    assert (failed["state"], failed["message"], failed["tails"]) == ("failed", "no good", {"0": ["Traceback", "ValueError"]})
    assert failed["fits"][0]["message"] == "it ended with exit code 3"
    assert (unfinished["state"], unfinished["job_id"], unfinished["fits"]) == ("unfinished", "job-9", [])


def test_a_failed_version_shows_why(local_root: Location, fail: Fail, capsys: Capture) -> None:
    fail(local_root, "1 of 1 fit groups failed")
    assert main(["models", "show", local_root.uri, "1"]) == 0
    out = capsys.readouterr().out
    assert "failed (UTC)  2024-05-01 12:00\n" in out
    assert "reason        1 of 1 fit groups failed\n" in out
    assert "group 0: failed, score none, 1.5 s\n  message     it ended with exit code 3\n" in out
    assert "  its last lines:\n    Traceback\n    ValueError\n" in out
    assert main(["models", "show", local_root.uri]) == 2
    assert "holds no complete model version" in capsys.readouterr().err


def test_a_version_that_is_not_there_names_those_that_are(local_root: Location, publish: Publish, capsys: Capture) -> None:
    publish(local_root)
    for command in ("show", "verify"):
        assert main(["models", command, local_root.uri, "7"]) == 2
        assert "holds no complete version 7; complete versions are 1" in capsys.readouterr().err


def test_a_kept_log_is_printed_as_it_is(root: Location, publish: Publish, capsys: Capture) -> None:
    publish(root)
    (root / "_model_1/logs/0.log").write("é first\n  last".encode() + b"\xff")
    (root / "_model_1/logs/10.log").write(b"")
    assert main(["models", "show", root.uri, "--log", "0"]) == 0
    assert capsys.readouterr().out == "é first\n  last\ufffd\n"
    document = from_json(capsys, "models", "show", root.uri, "1", "--log", "0")
    assert document == {"model_path": root.uri, "version": 1, "alg_index": 0, "log": "é first\n  last\ufffd"}
    assert main(["models", "show", root.uri, "1", "--log", "3"]) == 2
    assert "version 1 of" in (err := capsys.readouterr().err)
    assert "keeps no log of group 3; it has those of 0, 10" in err
