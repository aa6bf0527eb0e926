"""Trainings as runs on MLflow's own server, and functions as aliases of registered models there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from support.exchange import BUILTIN, VECTORS, X, classifier, register
from support.model_commands import Capture, from_json
from support.models import publish_model
from support.stores import T0, make_failure, make_fit_record, make_manifest
from support.workbench import Script

from mlsql_runtime import engine
from mlsql_runtime.cli.main import main
from mlsql_runtime.errors import InputError, StorageError
from mlsql_runtime.plan import Plan, Register, Secrets, Select, TaskTry, TrackingAccess, Train
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.curve_files import encode_curves
from mlsql_runtime.store.curves import Curve
from mlsql_runtime.store.manifest import ScriptFacts
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.store.versions import read_manifest, read_record
from mlsql_runtime.tracking.server import open_server
from mlsql_runtime.tracking.training_runs import SENT, send_training

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:mlflow.*", "ignore:.*:FutureWarning:mlflow.*")
TASK = TaskTry(dag_id="nightly", task_id="train", map_index=None, run_id="run 1", try_number=2)
LINK = "http://airflow/dags/nightly/runs/run%201/tasks/train"
AWAY = "http://127.0.0.1:9"  # where nothing listens


@pytest.fixture
def root(tmp_path: Path) -> Location:
    """A version of two groups, of which one failed, with curves; and the record of a failed training."""
    root = Location.of(str(tmp_path / "digits"))
    fits = [
        make_fit_record(
            0, 0.9, metrics={"loss": 0.25, "auc": 0.8}, params={"alpha": "0.1"}, started=T0, ended=T0 + timedelta(seconds=10)
        ),
        make_fit_record(1, None, status="failed", message="it ended with exit code 3", params={"alpha": "x"}),
    ]
    curve = Curve(steps=(0, 10, 20), values=(1.0, None, 0.25), reports=3)
    with claim_version(root, "job") as draft:
        (draft.folder / "model/0/model.pickle").write(b"model")
        (draft.folder / "curves.json").write(encode_curves({"0": {"loss": curve}}))
        manifest = make_manifest(
            draft.version,
            fits,
            job_id="nightly.train/run 1",
            task=TASK,
            options={"validateFraction": "0.2"},
            files=draft.file_entries(),
            description="all mail",
            script=ScriptFacts(name="train.py", sha256="5" * 64),
        )
        draft.publish(manifest)
    with claim_version(root, "job") as draft:
        draft.fail(make_failure(draft.version, "all groups failed", fits=(fits[1],), task=TASK))
    return root


def send(uri: str, root: Location, version: int = 1, **how: Any) -> str:
    record = read_record(root, version)
    assert record is not None
    with open_server(uri, {}) as client:
        return send_training(client, root, record, **how)


def children(client: Any, run: str) -> dict[str, Any]:
    experiment = client.get_run(run).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run}'")
    return {each.data.tags["mlsql.group"]: each for each in found}


def test_each_fit_group_is_a_run_below_that_of_its_version(mlflow: Any, mlflow_server: str, root: Location) -> None:
    run = send(mlflow_server, root, link=LINK)

    client = mlflow.MlflowClient(mlflow_server)
    parent = client.get_run(run)
    assert parent.info.run_name == "digits version 1"
    assert parent.info.status == "FINISHED"
    assert client.get_experiment(parent.info.experiment_id).name == root.uri
    assert parent.data.metrics == {"rows": 70, "validate_rows": 30, "score": 0.9}
    assert parent.data.params == {"validateFraction": "0.2"}
    tags = parent.data.tags
    assert (tags["mlsql.dag_id"], tags["mlsql.task_id"], tags["mlsql.run_id"]) == ("nightly", "train", "run 1")
    assert (tags["mlsql.model_path"], tags["mlsql.version"], tags["mlsql.best_group"]) == (root.uri, "1", "0")
    assert (tags["mlflow.source.name"], tags["mlsql.script_sha256"]) == ("train.py", "5" * 64)
    assert (tags["mlsql.airflow_url"], f"[nightly.train]({LINK})" in tags["mlflow.note.content"]) == (LINK, True)
    groups = children(client, run)
    assert groups["0"].data.params == {"alpha": "0.1"}
    assert groups["0"].data.metrics == {"loss": 0.25, "auc": 0.8, "score": 0.9}
    history = client.get_metric_history(groups["0"].info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == [(0, 1.0), (20, 0.25)]
    assert (groups["0"].info.start_time, groups["0"].info.end_time - groups["0"].info.start_time) == (
        T0.timestamp() * 1000,
        10000,
    )
    assert (groups["1"].info.status, groups["1"].data.tags["mlsql.message"]) == ("FAILED", "it ended with exit code 3")


def test_a_version_is_sent_once_and_what_was_interrupted_again(mlflow: Any, mlflow_server: str, root: Location) -> None:
    run = send(mlflow_server, root)
    assert send(mlflow_server, root, experiment="another") == run
    client = mlflow.MlflowClient(mlflow_server)
    client.delete_tag(run, SENT)

    again = send(mlflow_server, root)

    assert again != run
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    assert len(children(client, again)) == 2


def test_another_version_of_the_same_path_and_number_has_a_run_of_its_own(mlflow_server: str, root: Location) -> None:
    """As in a second deployment, or after the path was removed and made again."""
    run = send(mlflow_server, root)
    record = read_manifest(root, 1)
    with open_server(mlflow_server, {}) as client:
        other = send_training(client, root, replace(record, created=record.created + timedelta(hours=1)))
    assert other != run


def test_a_failed_training_is_a_failed_run(mlflow: Any, mlflow_server: str, root: Location) -> None:
    run = send(mlflow_server, root, version=2, experiment="failures")

    client = mlflow.MlflowClient(mlflow_server)
    parent = client.get_run(run)
    assert (parent.info.status, parent.data.tags["mlsql.message"]) == ("FAILED", "all groups failed")
    assert client.get_experiment(parent.info.experiment_id).name == "failures"


def test_a_registration_sets_an_alias_on_a_model_that_predicts_the_same(
    mlflow: Any, mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = publish_model(tmp_path / "spam", classifier(), VECTORS)

    register(path, script_path=BUILTIN, tracking_uri=mlflow_server, registered_model="spam")

    client = mlflow.MlflowClient(mlflow_server)
    version = client.get_model_version_by_alias("spam", "jack")
    assert (version.tags["mlsql.version"], version.tags["mlsql.function_version"]) == ("1", "1")
    mlflow.set_tracking_uri(mlflow_server)
    try:
        loaded = mlflow.pyfunc.load_model("models:/spam@jack")
    finally:
        mlflow.set_tracking_uri(None)
    assert loaded.predict(X).tolist() == classifier().predict(X).tolist()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    assert main(["models", "import", "models:/spam@jack", str(tmp_path / "again")]) == 0
    imported = read_manifest(Location.of(str(tmp_path / "again"))).imported
    assert imported is not None
    assert (imported.source, imported.facts["model_path"]) == ("models:/spam@jack", path)


def test_two_functions_of_one_version_have_models_of_their_own(mlflow: Any, mlflow_server: str, tmp_path: Path) -> None:
    path = publish_model(tmp_path / "m", classifier(), VECTORS)
    for function, params in (("label", {}), ("chance", {"output": "probability"})):
        register(path, function, BUILTIN, params=params, tracking_uri=mlflow_server, registered_model="two functions")
    mlflow.set_tracking_uri(mlflow_server)
    try:
        label, chance = (mlflow.pyfunc.load_model(f"models:/two functions@{name}").predict(X) for name in ("label", "chance"))
    finally:
        mlflow.set_tracking_uri(None)
    assert label.tolist() == classifier().predict(X).tolist()
    assert np.allclose(np.stack(list(chance)), classifier().predict_proba(X))


def test_the_score_that_is_shown_is_that_of_the_group_whatever_it_reported_before(
    mlflow: Any, mlflow_server: str, tmp_path: Path
) -> None:
    """A script reports a score for each epoch, and returns to the best one at its end."""
    root = Location.of(str(tmp_path / "m"))
    curve = Curve(steps=(0, 1, 2), values=(0.5, 0.9, 0.7), reports=3)
    with claim_version(root, "job") as draft:
        (draft.folder / "model/0/model.pickle").write(b"model")
        (draft.folder / "curves.json").write(encode_curves({"0": {"score": curve}}))
        fit = make_fit_record(0, 0.9, metrics={"score": 0.7}, started=T0, ended=T0 + timedelta(seconds=10))
        draft.publish(make_manifest(draft.version, [fit], files=draft.file_entries()))

    run = send(mlflow_server, root)

    client = mlflow.MlflowClient(mlflow_server)
    group = children(client, run)["0"]
    assert group.data.metrics["score"] == 0.9
    assert [each.value for each in client.get_metric_history(group.info.run_id, "score")] == [0.5, 0.9, 0.7, 0.9]


def test_a_registration_without_a_server_is_registered_and_sent_later(
    mlflow: Any, mlflow_server: str, tmp_path: Path, capsys: Capture
) -> None:
    path = publish_model(tmp_path / "late", classifier(), VECTORS)
    began = time.monotonic()
    done = register(path, script_path=BUILTIN, tracking_uri=AWAY, registered_model="late")
    assert done.registered
    assert time.monotonic() - began < 60
    said = capsys.readouterr().out
    assert "mlflow: warning: function jack was not sent: the MLflow server http://127.0.0.1:9 does not respond" in said
    assert f"`mlsql models track {path} --tracking-uri {AWAY} --registered-model late` sends it later" in said

    command = ["models", "track", path, "--tracking-uri", mlflow_server, "--registered-model", "late"]
    sent = from_json(capsys, *command)

    assert sent["versions"][0]["aliases"] == ["late@jack"]
    assert from_json(capsys, *command) == sent
    client = mlflow.MlflowClient(mlflow_server)
    assert [each.version for each in client.search_model_versions("name = 'late'")] == [
        client.get_model_version_by_alias("late", "jack").version
    ]


def test_the_name_of_a_registered_model_may_have_an_apostrophe(mlflow: Any, mlflow_server: str, tmp_path: Path) -> None:
    path = publish_model(tmp_path / "m", classifier(), VECTORS)
    for _ in range(2):  # the second registration finds the model, and adds a version
        register(path, script_path=BUILTIN, tracking_uri=mlflow_server, registered_model="ann's spam")
    client = mlflow.MlflowClient(mlflow_server)
    found = client.get_model_version_by_alias("ann's spam", "jack")
    assert (found.version, found.tags["mlsql.function_version"]) == ("2", "2")


def test_a_version_that_cannot_be_sent_does_not_stop_the_others(mlflow_server: str, root: Location, capsys: Capture) -> None:
    (root / "_model_1/manifest.json").replace(b"{}")
    assert main(["models", "track", root.uri, "--tracking-uri", mlflow_server, "--json"]) == 2
    said = capsys.readouterr()
    broken, sent = json.loads(said.out)["versions"]
    assert (broken["version"], broken["run"], sent["version"], sent["problem"]) == (1, None, 2, None)
    assert sent["run"]
    assert "mlsql: warning: version 1 is not sent: " in said.err
    assert "manifest.json" in said.err


def test_a_model_that_cannot_be_exported_is_sent_without_its_alias(mlflow_server: str, tmp_path: Path, capsys: Capture) -> None:
    path = publish_model(tmp_path / "m", classifier(), VECTORS)
    register(path, script_path=BUILTIN)
    publish_model(tmp_path / "m", classifier(), VECTORS)
    [model] = (tmp_path / "m/_model_1/model/0").iterdir()
    model.write_bytes(b"damaged")
    command = ["models", "track", path, "--tracking-uri", mlflow_server, "--registered-model", "damaged", "--json"]
    capsys.readouterr()
    assert main(command) == 1
    said = capsys.readouterr()
    broken, sent = json.loads(said.out)["versions"]
    assert (broken["aliases"], sent["problem"]) == ([], None)
    assert broken["run"]
    assert sent["run"]
    assert "version 1 is sent, but not registered: " in said.err


def test_a_slow_server_gets_no_more_requests_after_the_time_for_all(mlflow_server: str, root: Location) -> None:
    record = read_record(root, 1)
    assert record is not None
    with pytest.raises(StorageError, match="is slow: it has not taken everything"), open_server(mlflow_server, {}, 0) as client:
        send_training(client, root, record)


def test_track_sends_all_versions_whose_trainings_have_ended(mlflow_server: str, root: Location, capsys: Capture) -> None:
    with claim_version(root, "job"):
        sent = from_json(capsys, "models", "track", root.uri, "--tracking-uri", mlflow_server)
        assert [each["version"] for each in sent["versions"]] == [1, 2]
        assert main(["models", "track", root.uri, "--version", "3", "--tracking-uri", mlflow_server]) == 2
    assert "holds no version 3 whose training has ended" in capsys.readouterr().err
    assert main(["models", "track", root.uri, "--tracking-uri", AWAY]) == 3
    assert "does not respond" in capsys.readouterr().err
    assert main(["models", "track", root.uri, "--tracking-uri", "http://ann:secret@host"]) == 2
    error = capsys.readouterr().err
    assert "has a user or a password" in error
    assert "secret" not in error


def test_a_training_is_tracked_with_its_link(mlflow: Any, mlflow_server: str, spark: Any, tmp_path: Path, script: Script) -> None:
    path = str(tmp_path / "m")
    source = "import mlsql, mlsql_model\nfor step in range(3): mlsql.report(step, loss=1 / (step + 1))\n"
    source += "mlsql_model.sk_save_model(1)\nprint('mlsql_validation_score:0.75')\n"
    load = Select(table="data", sql="select id as x from range(0, 4, 1, 1)")
    train = Train(table="data", model_path=path, script_path=script(source), tracking_uri=mlflow_server, experiment="spark")
    secrets = Secrets(tracking=TrackingAccess(variables={"MLFLOW_TRACKING_TOKEN": "t0p-secret"}, link=LINK))

    engine.run(Plan(job_id="job", statements=(load, train), task=TASK), spark, secrets).raise_for_error()

    client = mlflow.MlflowClient(mlflow_server)
    experiment = client.get_experiment_by_name("spark").experiment_id
    [run] = client.search_runs([experiment], "tags.`mlsql.best_group` = '0'")
    assert (run.data.metrics["score"], run.data.tags["mlsql.airflow_url"]) == (0.75, LINK)
    history = client.get_metric_history(children(client, run.info.run_id)["0"].info.run_id, "loss")
    assert [each.step for each in history] == [0, 1, 2]
    written = b"".join(file.read_bytes() for file in Path(path).rglob("*") if file.is_file())
    assert b"t0p-secret" not in written


class _Refusing(BaseHTTPRequestHandler):
    seen: list[str | None] = []

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization"))
        body = json.dumps({"error_code": "PERMISSION_DENIED", "message": "Bearer t0p-secret is not allowed"}).encode()
        self.send_response(403)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def refusing() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_token_is_used_and_named_nowhere(refusing: str, root: Location) -> None:
    record = read_record(root, 1)
    assert record is not None

    with pytest.raises(InputError) as caught, open_server(refusing, {"MLFLOW_TRACKING_TOKEN": "t0p-secret"}) as client:
        send_training(client, root, record)

    assert set(_Refusing.seen) == {"Bearer t0p-secret"}
    assert "t0p-secret" not in caught.value.message
    assert caught.value.__cause__ is None
    assert "MLFLOW_TRACKING_TOKEN" not in os.environ


def test_a_server_that_is_away_is_an_error_of_storage(root: Location) -> None:
    record = read_record(root, 1)
    assert record is not None
    began = time.monotonic()

    with pytest.raises(StorageError, match="does not respond"), open_server(AWAY, {}) as client:
        send_training(client, root, record)

    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tracking_uri": "http://ann:secret@host"}, "has a user or a password"),
        ({"registered_model": "spam"}, "mlflowRegisteredModel is given without a server"),
    ],
)
def test_wrong_options(fields: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Register(model_path="/m", function="jack", **fields)  # type: ignore[arg-type]
    assert "secret" not in caught.value.message
