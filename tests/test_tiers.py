"""What `make check` runs starts neither a JVM nor Airflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

SPARK_SUBMIT = str(Path(pyspark.__file__).parent / "bin" / "spark-submit")
AIRFLOW = str(Path(sys.executable).with_name("airflow"))


def test_a_light_test_cannot_start_airflow() -> None:
    with pytest.raises(RuntimeError, match="give it the fixture starts_airflow"):
        subprocess.run([AIRFLOW, "version"], check=True)


@pytest.mark.parametrize("command", [f"{SPARK_SUBMIT} --version", "java -cp . Main"])
def test_a_light_test_cannot_start_java(command: str) -> None:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "give it the fixture starts_jvm" in done.stderr


def test_membership_follows_from_the_fixtures(request: pytest.FixtureRequest) -> None:
    light = {item.nodeid for item in request.session.items if item.get_closest_marker("light")}
    assert request.node.nodeid in light
    heavy = [item for item in request.session.items if "starts_jvm" in getattr(item, "fixturenames", ())]
    assert light.isdisjoint(item.nodeid for item in heavy)


def test_light_tests_come_first(request: pytest.FixtureRequest) -> None:
    is_light = [item.get_closest_marker("light") is not None for item in request.session.items]
    assert is_light == sorted(is_light, reverse=True)
