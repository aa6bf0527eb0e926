"""Fixtures for all tests, and the hooks by which they share services and run in order."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from hypothesis import settings
from support import shared_run, tiers
from support.workbench import DATA, RunPlan, Script

if TYPE_CHECKING:
    from broker import Broker, BrokerProcess
    from hadoop import Hdfs, Yarn
    from pyspark.sql import SparkSession
    from support.airflow import Airflow
    from support.cluster import Cluster
    from support.deployment import Deployment
    from support.yarn import Applications

    from mlsql_runtime.kafka.settings import KafkaSettings
    from mlsql_runtime.result import RunResult

# Services that take memory: each ends after the last test that has it among its fixtures. The others end with the run.
SERVICES = frozenset(("broker", "hdfs", "yarn", "cluster", "deployment"))
USERS = pytest.StashKey[Counter[str]]()
KEEPER = shared_run.join()  # before conftest.py of a folder imports Airflow, which reads its home then

settings.register_profile("no deadline", deadline=None)  # first examples import SciPy and the like, and machines are busy
settings.load_profile("no deadline")


# -- the run


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "light: starts neither a JVM nor Airflow; set by tests/support/tiers.py")
    if hasattr(config, "workerinput"):  # Ctrl-C is for the controller, whose keeper ends this process
        signal.signal(signal.SIGINT, lambda number, frame: None)


@pytest.hookimpl(trylast=True)
def pytest_keyboard_interrupt() -> None:
    """End workers and what they have started, so that the controller does not wait for them."""
    if KEEPER:
        KEEPER.close()


def pytest_unconfigure() -> None:
    """End what the run has started, and remove its temporary folders."""
    if KEEPER:
        KEEPER.wait()


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tiers.sort(items)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the tests that use a service, which ends after the last of them."""
    used = (name for item in session.items for name in SERVICES & set(getattr(item, "fixturenames", ())))
    session.config.stash[USERS] = Counter(used)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    for name in SERVICES & set(getattr(item, "fixturenames", ())):
        shared_run.count_use(name, item.config.stash[USERS][name])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with tiers.guard(item):
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from support.schedule import FileSchedule

    return FileSchedule(config, log)


# -- what tests start by themselves


@pytest.fixture
def starts_jvm() -> None:
    """For a test that starts a JVM by itself, for example with spark-submit or ``mlsql run``."""


@pytest.fixture
def starts_airflow() -> None:
    """For a test that starts processes of Airflow by itself."""


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a script; its path."""

    def write(source: str, name: str = "script.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return str(path)

    return write


# -- Spark


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A real SparkSession, shared by all tests."""
    from pyspark.sql import SparkSession

    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    session = (
        SparkSession.builder.master("local[2]")
        .appName("tests")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.warehouse.dir", tmp_path_factory.mktemp("warehouse").as_uri())
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it says good-bye after pytest has closed the streams
    yield session
    session.stop()


@pytest.fixture(scope="session")
def run_plan(spark: SparkSession) -> RunPlan:
    """Run statements after loading the sample as ``data``, and return the result; it holds the error, if there is one."""
    from mlsql_runtime import engine
    from mlsql_runtime.plan import NO_SECRETS, SINGLE_ATTEMPT, Attempt, Plan, Secrets, Statement

    def run_statements(
        *statements: Statement,
        job_id: str = "job",
        secrets: Secrets = NO_SECRETS,
        attempt: Attempt = SINGLE_ATTEMPT,
        collect_lineage: bool = False,
    ) -> RunResult:
        plan = Plan(job_id=job_id, statements=(DATA, *statements), attempt=attempt, collect_lineage=collect_lineage)
        return engine.run(plan, spark, secrets)

    return run_statements


# -- services of the run


@pytest.fixture(scope="session")
def broker() -> Broker:
    """A real Kafka broker: topics and groups get names of their own."""
    found: Broker = shared_run.start_service("broker")
    return found


@pytest.fixture(scope="session")
def _mortal_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    from broker import BrokerProcess

    with BrokerProcess(tmp_path_factory.mktemp("broker")) as process:
        yield process


@pytest.fixture
def mortal_broker(_mortal_broker: BrokerProcess) -> BrokerProcess:
    """A broker that a test may kill, and start again."""
    if not _mortal_broker.is_running():
        _mortal_broker.start()
    return _mortal_broker


@pytest.fixture(scope="session")
def kafka_settings(broker: Broker) -> KafkaSettings:
    """The broker's plain listener, on which everybody may do everything."""
    from mlsql_runtime.kafka.settings import parse_settings

    return parse_settings({"bootstrap.servers": broker.bootstrap}, "the test broker")


@pytest.fixture(scope="session")
def hdfs() -> Hdfs:
    """A real HDFS: files get folders of their own."""
    found: Hdfs = shared_run.start_service("hdfs")
    return found


@pytest.fixture
def yarn(hdfs: Hdfs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Applications]:
    """A real YARN with two nodes, on that HDFS, to which spark-submit submits by the connection ``yarn`` while the test runs.

    One test at a time uses it.
    """
    from support.yarn import Applications, submitting

    from mlsql_runtime.storage.file_lock import FileLock

    found: Yarn = shared_run.start_service("yarn")
    for name, value in submitting(found).items():
        monkeypatch.setenv(name, value)
    with FileLock(found.folder / "in-use") as lock:
        lock.acquire()
        applications = Applications.of(found)
        applications.wait_for_nodes()
        yield applications


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A Spark standalone cluster: two workers with two cores each. An application takes all, so one test at a time uses it."""
    from mlsql_runtime.storage.file_lock import FileLock

    found: Cluster = shared_run.start_service("cluster")
    with FileLock(found.folder / "in-use") as lock:
        lock.acquire()
        yield found


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Airflow's commands on a database of this process: each test uses DAGs of its own names, or looks at their newest runs."""
    from support.airflow import migrated_airflow

    with migrated_airflow(tmp_path_factory.mktemp("airflow"), shared_run.start_service("airflow_database")) as airflow:
        yield airflow


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """A whole Airflow with the example DAGs, for what needs a scheduler or the API: runs side by side, people who answer."""
    found: Deployment = shared_run.start_service("deployment")
    yield found
    found.close()


@pytest.fixture(scope="session")
def _s3_bucket() -> Iterator[tuple[str, dict[str, str]]]:
    bucket = f"models-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    variables = {
        "AWS_ENDPOINT_URL": shared_run.start_service("s3_server"),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    s3 = fsspec.get_filesystem_class("s3")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        s3.clear_instance_cache()
        fsspec.filesystem("s3").mkdir(bucket)
    yield f"s3://{bucket}", variables
    s3.clear_instance_cache()


@pytest.fixture
def s3_server(_s3_bucket: tuple[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of a real S3 server; the environment points S3 clients at the server while the test runs."""
    bucket, variables = _s3_bucket
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.fixture
def azure_server(monkeypatch: pytest.MonkeyPatch) -> str:
    """A container of Azurite, Microsoft's emulator; the environment points Azure's clients at it while the test runs."""
    from azure.core.exceptions import ResourceExistsError
    from azure.storage.blob import BlobServiceClient

    connection = shared_run.start_service("azure_server")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    with contextlib.suppress(ResourceExistsError), BlobServiceClient.from_connection_string(connection) as client:
        client.create_container("models")
    return "abfs://models"


@pytest.fixture
def google_server(monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of an emulator; the environment points Google's clients at it while the test runs."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", shared_run.start_service("google_server"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "tests")
    return "gs://models"


@pytest.fixture(scope="session")
def mlflow() -> Any:
    """MLflow, which takes seconds to import."""
    from mlsql_runtime.exchange.mlflow_client import import_mlflow

    return import_mlflow("the test")


@pytest.fixture(scope="session")
def mlflow_server() -> str:
    """The URI of MLflow's own tracking server, with SQLite."""
    uri: str = shared_run.start_service("mlflow_server")
    return uri
