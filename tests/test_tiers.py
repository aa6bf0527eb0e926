"""What `make check` runs starts neither a JVM nor Airflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

SPARK_SUBMIT = str(Path(pyspark.__file__).parent / "bin" / "spark-submit")
AIRFLOW = str(Path(sys.executable).with_name("airflow"))


@pytest.mark.parametrize(("program", "fixture"), [(AIRFLOW, "starts_airflow"), (SPARK_SUBMIT, "starts_jvm")])
def test_a_light_test_cannot_start_them(program: str, fixture: str) -> None:
    with pytest.raises(RuntimeError, match=f"give it the fixture {fixture}"):
        subprocess.run([program, "version"], check=True)


def test_what_a_light_test_starts_cannot_start_java() -> None:
    done = subprocess.run(["sh", "-c", f"{SPARK_SUBMIT} --version"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "give it the fixture starts_jvm" in done.stderr


def test_membership_follows_from_the_fixtures(request: pytest.FixtureRequest) -> None:
    light = {item.nodeid for item in request.session.items if item.get_closest_marker("light")}
    assert request.node.nodeid in light
    heavy = [item for item in request.session.items if "starts_jvm" in getattr(item, "fixturenames", ())]
    assert light.isdisjoint(item.nodeid for item in heavy)
