"""Which tests ``make check`` runs, and the order of all tests."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.shared_run import no_java_home

# The fixtures that start a JVM or Airflow, and roughly the seconds of a test that uses one. A test that uses none is light.
SECONDS = {
    "deployment": 40.0,
    "airflow": 25.0,
    "starts_airflow": 25.0,
    "cluster": 20.0,
    "yarn": 20.0,
    "starts_jvm": 15.0,
    "mortal_broker": 10.0,
    "spark": 2.0,
    "hdfs": 1.0,
    "broker": 0.5,
}
# The same for files whose tests take longer than their fixtures say: several trainings, or scripts that import much.
LONGER = {
    "test_retraining.py": 150.0,
    "test_builtin_dag.py": 90.0,
    "test_form.py": 90.0,
    "test_approval.py": 80.0,
    "test_mapping.py": 70.0,
    "test_durable.py": 60.0,
    "test_preflight_cluster.py": 30.0,
    "test_frameworks.py": 20.0,
    "test_kafka_hazards.py": 20.0,
    "test_readme.py": 20.0,
    "test_sklearn.py": 12.0,
    "test_sklearn_jobs.py": 12.0,
}

_guarded = False


def sort(items: list[pytest.Item]) -> None:
    """Mark the light tests and put them first. The files with the longest tests follow, so that short ones fill the end."""
    seconds: Counter[str] = Counter()
    for item in items:
        used = SECONDS.keys() & set(getattr(item, "fixturenames", ()))
        if used:
            seconds[str(item.path)] += max(LONGER.get(item.path.name, 0.0), *(SECONDS[name] for name in used))
        else:
            item.add_marker("light")
    items.sort(key=lambda item: (0, 0.0) if _is_light(item) else (1, -seconds[str(item.path)]))


def _is_light(item: pytest.Item) -> bool:
    return item.get_closest_marker("light") is not None


@contextlib.contextmanager
def guard(item: pytest.Item) -> Iterator[None]:
    """Keep a light test from starting a JVM or Airflow."""
    global _guarded
    if not _is_light(item):
        yield
        return
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("JAVA_HOME", no_java_home())
        environment.setenv("PATH", f"{no_java_home()}/bin", prepend=os.pathsep)
        _guarded = True
        try:
            yield
        finally:
            _guarded = False


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and _guarded:
        executable, command = arguments[:2]
        first = executable or (command if isinstance(command, (str, bytes)) else command[0])
        if Path(os.fsdecode(first)).name == "airflow":
            raise RuntimeError("a test of `make check` starts Airflow; give it the fixture starts_airflow")


sys.addaudithook(_refuse)
