"""Fixtures for all tests. Airflow reads its home when it is imported, so it gets one of the tests' own first."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from broker import Broker

    from mlsql_runtime.kafka.settings import KafkaSettings

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="mlsql-tests-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

import fsspec
from hypothesis import settings
from support.workbench import Script

settings.register_profile("no deadline", deadline=None)  # first examples import SciPy and the like, and machines are busy
settings.load_profile("no deadline")


def pytest_configure() -> None:
    """Spark lives for seconds here: classes come from one file, made by setup.sh; compiler and collector are quick."""
    classes = Path(__file__).parents[1] / ".work" / "spark.jsa"
    quick = f"-XX:SharedArchiveFile={classes} -Xlog:disable -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    os.environ.setdefault("SPARK_SUBMIT_OPTS", quick)


def pytest_unconfigure() -> None:
    """Remove the tests' Airflow home."""
    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a script; its path."""

    def write(source: str, name: str = "script.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return str(path)

    return write


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real Kafka broker, shared by all tests: topics and groups get names of their own. Whoever kills it starts it again."""
    from broker import Broker

    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="session")
def kafka_settings(broker: Broker) -> KafkaSettings:
    """The broker's plain listener, on which everybody may do everything."""
    from mlsql_runtime.kafka.settings import parse_settings

    return parse_settings({"bootstrap.servers": broker.bootstrap}, "the test broker")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A real S3 server on this machine; the environment points S3 clients at it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("AWS_CONFIG_FILE", os.devnull)
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        s3 = fsspec.get_filesystem_class("s3")
        s3.clear_instance_cache()
        fsspec.filesystem("s3").mkdir("models")
        yield "s3://models"
        s3.clear_instance_cache()
    server.stop()
