"""Training through Kafka as Airflow does it: a secured cluster, secrets that nobody sees, kills that leave nothing."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from support.kafka import names_with
from support.stores import latest_version
from support.waiting import wait_until
from support.workbench import SAMPLE, Script, processes_with

from airflow_provider_mlsql.hooks.mlsql import MLSQLHook
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from mlsql_runtime.errors import InputError, JobFailed, KafkaRefused, KafkaUnavailable
from mlsql_runtime.plan import Plan, dump_plan
from mlsql_runtime.result import to_xcom
from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission.processes import marked

if TYPE_CHECKING:
    from broker import Broker

    from mlsql_runtime.kafka.settings import KafkaSettings

DATA = {"format": "libsvm", "path": SAMPLE, "options": {"numFeatures": 692}}
NOSY = """
import glob, os, stat, sys
import mlsql, mlsql_model
print(sys.argv, dict(os.environ), mlsql.params())
rows = sum(len(batch) for batch in mlsql.read_data()())
spark = os.path.dirname(os.path.dirname(mlsql.internal_system_param["tempModelLocalPath"]))
private = glob.glob(os.path.join(spark, "mlsql-private-*", "*"))
mlsql.report(rows=rows, private=len(private), open_to_others=sum(bool(os.stat(p).st_mode & 0o077) for p in private))
mlsql_model.sk_save_model(0)
open(mlsql.fit_param["folder"] + "/read", "w").close()
while not os.path.exists(mlsql.fit_param["folder"] + "/go on"):
    __import__("time").sleep(0.05)
print("mlsql_validation_score:1")
"""
SLOW = """
import subprocess
import mlsql
assert sum(len(batch) for batch in mlsql.read_data()()) == 100
open(mlsql.fit_param["folder"] + "/read", "w").close()
subprocess.run(["tail", "-f", mlsql.fit_param["folder"] + "/read"])
"""


@pytest.fixture
def connect(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a connection to the listener with SASL and TLS."""

    def add(name: str, login: str, password: str) -> None:
        extra = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "ssl.ca.location": str(broker.cafile)}
        fields = {"conn_type": "mlsql_kafka", "host": broker.secure_bootstrap, "login": login, "password": password}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields | {"extra": extra}))

    return add


@pytest.fixture
def secured(connect: Callable[..., None]) -> str:
    """The connection ``secured``; answers the password."""
    from broker import PASSWORDS

    connect("secured", "admin", PASSWORDS["admin"])
    return PASSWORDS["admin"]


@pytest.fixture
def plain(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PLAIN", json.dumps({"conn_type": "mlsql_kafka", "host": broker.bootstrap}))


def train(folder: Path, script_path: str, conn_id: str, **arguments: object) -> MLSQLTrainOperator:
    given = {
        "task_id": "train",
        "model_path": str(folder / "m"),
        "python_script_path": script_path,
        "data": DATA,
        "fit_params": {"folder": str(folder)},
        "enable_data_local": False,
        "kafka_conn_id": conn_id,
        "kafka_topic": folder.name,
        "kafka_group_id": folder.name,
    }
    return MLSQLTrainOperator(**given | arguments)  # type: ignore[arg-type]


def plan_of(operator: MLSQLTrainOperator) -> Plan:
    return Plan(job_id="kafka", statements=operator.build_job().statements)


class _Running:
    """A training in the background, whose script has read all and waits."""

    def __init__(self, operator: MLSQLTrainOperator, folder: Path) -> None:
        self.hook, self.folder = MLSQLHook(), folder
        self.error: BaseException | None = None
        self.xcom: dict[str, object] = {}
        self._thread = threading.Thread(target=self._run, args=(operator,))
        self._thread.start()
        wait_until(lambda: (folder / "read").exists() or not self._thread.is_alive())

    def _run(self, operator: MLSQLTrainOperator) -> None:
        try:
            self.xcom = to_xcom(self.hook.run(plan_of(operator), operator.build_job().secrets).steps[-1])
        except BaseException as error:
            self.error = error

    @property
    def mark(self) -> str:
        assert self.hook._job is not None
        return self.hook._job.mark

    def driver(self) -> psutil.Process:
        """Return the Python process that runs the plan."""
        return next(
            each
            for each in marked(self.mark)
            if "python" in each.name() and any(arg.endswith("mlsql_job.py") for arg in each.cmdline())
        )

    def let_go_on(self) -> None:
        (self.folder / "go on").touch()

    def join(self) -> None:
        self._thread.join(timeout=120)
        assert not self._thread.is_alive()


def test_a_secured_cluster_and_secrets_that_nobody_sees(
    secured: str, kafka_settings: KafkaSettings, tmp_path: Path, script: Script, capfd: pytest.CaptureFixture[str]
) -> None:
    operator = train(tmp_path, script(NOSY), "secured")
    running = _Running(operator, tmp_path)
    assert running.error is None
    assert names_with(kafka_settings, tmp_path.name) != []
    assert processes_with(secured) == []
    assert [process for process in marked(running.mark) if secured in str(process.environ())] == []
    running.let_go_on()
    running.join()
    assert running.error is None
    assert names_with(kafka_settings, tmp_path.name) == []
    assert running.xcom["rows"] == 100
    [fit] = running.xcom["fits"]  # type: ignore[misc]
    assert fit["metrics"] == {"rows": 100.0, "private": 1.0, "open_to_others": 0.0}
    texts = {
        "log": "".join(capfd.readouterr()),
        "plan": dump_plan(plan_of(operator)),
        "xcom": json.dumps(running.xcom),
        **{str(path): path.read_bytes().decode(errors="replace") for path in (tmp_path / "m").rglob("*") if path.is_file()},
    }
    assert "mlsql_validation_score" in texts["log"]
    assert [name for name, text in texts.items() if secured in text or "BEGIN CERTIFICATE" in text] == []


@pytest.fixture
def waiting(
    plain: None, kafka_settings: KafkaSettings, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> Iterator[_Running]:
    """A training whose script waits in a child process; its job's folder is in the test's folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    running = _Running(train(tmp_path, script(SLOW), "plain"), tmp_path)
    try:
        assert running.error is None
        assert len(names_with(kafka_settings, tmp_path.name)) == 2
        wait_until(lambda: processes_with(f"{tmp_path}/read"))
        assert len(marked(running.mark)) >= 5  # JVM, driver, Spark's Python worker, supervisor, script, its child
        (folder,) = tmp_path.glob("mlsql-job-*")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert list(folder.glob("*.json")) == []  # the application has read plan and secrets
        yield running
    finally:
        running.hook.on_kill()


def assert_nothing_is_left(running: _Running, kafka_settings: KafkaSettings) -> None:
    assert marked(running.mark) == []
    assert names_with(kafka_settings, running.folder.name) == []
    running.join()
    assert isinstance(running.error, JobFailed)
    assert processes_with(str(running.folder)) == []
    assert list(running.folder.glob("mlsql-job-*")) == []
    assert latest_version(Location.of(str(running.folder / "m"))) is None


def test_nothing_is_left_after_on_kill(waiting: _Running, kafka_settings: KafkaSettings) -> None:
    waiting.hook.on_kill()
    assert_nothing_is_left(waiting, kafka_settings)


def test_nothing_is_left_after_a_killed_driver(waiting: _Running, kafka_settings: KafkaSettings) -> None:
    waiting.driver().kill()
    waiting.join()
    assert_nothing_is_left(waiting, kafka_settings)


def refused(operator: MLSQLTrainOperator) -> Exception:
    """What is said before Spark starts."""
    hook = MLSQLHook()
    with pytest.raises((InputError, KafkaUnavailable)) as caught:
        hook.run(plan_of(operator), operator.build_job().secrets)
    return caught.value


def test_what_the_brokers_will_not_do_is_said_before_spark_starts(
    secured: str,
    connect: Callable[..., None],
    broker: Broker,
    tmp_path: Path,
    script: Script,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from broker import PASSWORDS

    path, where = script("pass"), broker.secure_bootstrap
    connect("guest", "guest", PASSWORDS["guest"])
    connect("mistyped", "admin", "wrong-one")
    missing_acl = refused(train(tmp_path, path, "guest"))
    assert isinstance(missing_acl, KafkaRefused)
    assert str(missing_acl).startswith(f"create topic {tmp_path.name}_")
    assert f"on {where}: user 'guest' is not authorized" in str(missing_acl)
    wrong = refused(train(tmp_path, path, "mistyped"))
    assert isinstance(wrong, KafkaRefused)
    assert str(wrong).startswith(f"connect on {where}: ")
    assert "rejected the password of user 'admin'" in str(wrong)
    assert "wrong-one" not in str(wrong)
    config = refused(train(tmp_path, path, "secured", kafka_config={"topic.retention.ms": "a day"}))
    assert isinstance(config, KafkaRefused)
    assert "retention.ms" in str(config)
    factor = refused(train(tmp_path, path, "secured", kafka_config={"topic.replication.factor": 3}))
    assert "InvalidReplicationFactor" in str(factor)
    nowhere = refused(train(tmp_path, path, "secured", kafka_config={"bootstrap.servers": "127.0.0.1:9"}))
    assert isinstance(nowhere, KafkaUnavailable)
    assert "on 127.0.0.1:9" in str(nowhere)
    none = refused(train(tmp_path, path, "secured", data=None, kafka_reuse=True))
    assert f"there is no topic {tmp_path.name} on {where}" in str(none)
    assert "application" not in capfd.readouterr().out
