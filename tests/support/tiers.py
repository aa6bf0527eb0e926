"""Which tests ``make check`` runs, and the order of all tests."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import defaultdict
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
# Files that take long, or other times than their fixtures say: seconds of all their tests, one of two processes on two cores.
FILES = {
    "provider/test_cluster_mode.py": 250.0,
    "docs/test_tutorial.py": 150.0,
    "provider/test_retraining.py": 134.0,
    "spark/test_kafka_hazards.py": 112.0,
    "storage/test_every_storage.py": 150.0,
    "scoring/test_functions_over_columns.py": 105.0,
    "provider/test_kafka_training.py": 102.0,
    "provider/test_script_operator.py": 95.0,
    "spark/test_preflight_cluster.py": 92.0,
    "builtin/test_sklearn_columns.py": 92.0,
    "training/test_through_kafka.py": 89.0,
    "tests/test_interruption.py": 87.0,
    "handlers/test_mistakes.py": 85.0,
    "ui/test_form.py": 83.0,
    "training/test_interrupted_runs.py": 77.0,
    "provider/test_mapping.py": 76.0,
    "cli/test_run.py": 75.0,
    "tests/test_faults.py": 90.0,
    "spark/test_sklearn.py": 68.0,
    "provider/test_dags.py": 67.0,
    "provider/test_cluster_mode_durable.py": 66.0,
    "provider/test_cluster.py": 60.0,
    "ui/test_models_pages.py": 58.0,
    "spark/test_delta.py": 57.0,
    "provider/test_builtin_dag.py": 56.0,
    "spark/test_frameworks.py": 56.0,
    "provider/test_approval.py": 54.0,
    "provider/test_durable.py": 54.0,
    "handlers/test_register.py": 51.0,
    "spark/test_wine_project.py": 50.0,
    "kafka/test_clients.py": 48.0,
    "provider/test_columns_dag.py": 47.0,
    "training/test_originals.py": 45.0,
    "spark/test_readme.py": 43.0,
    "provider/test_hook.py": 42.0,
    "provider/test_params.py": 41.0,
    "scoring/test_result_types.py": 35.0,
    "parquet_queries/test_score_from_files.py": 30.0,
    "training/test_columns.py": 26.0,
    "ui/test_manifest_page.py": 12.0,
    "local/test_csv_files.py": 11.0,
    "scoring/test_vector_function_errors.py": 11.0,
}

# A service of many processes, which take a tenth of a core also when nobody asks them. The tests that use it come first, so that
# it ends early.
_EARLY = "deployment"

_guarded = False


def sort(items: list[pytest.Item]) -> None:
    """Mark the light tests and put them first. The files with the longest tests follow, so that short ones fill the end."""
    seconds: defaultdict[str, float] = defaultdict(float)
    early = set()
    for item in items:
        used = SECONDS.keys() & set(getattr(item, "fixturenames", ()))
        if used:
            seconds[str(item.path)] += max(SECONDS[name] for name in used)
            if _EARLY in used:
                early.add(str(item.path))
        else:
            item.add_marker("light")
    for path in seconds:
        seconds[path] = FILES.get("/".join(Path(path).parts[-2:]), seconds[path])
    items.sort(key=lambda item: (0, 0.0) if _is_light(item) else (1 if str(item.path) in early else 2, -seconds[str(item.path)]))


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
