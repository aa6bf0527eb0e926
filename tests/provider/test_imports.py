"""What importing the provider and the runtime costs, and what it must not need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MODULES = [
    "operators.train",
    "operators.register",
    "operators.predict",
    "operators.script",
    "sensors.model",
    "triggers.model",
    "hooks.mlsql",
    "hooks.kafka",
    "links",
    "plugin",
]


def loaded_by(code: str) -> set[str]:
    """The top-level modules in a new interpreter after ``code``."""
    report = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", MODULES)
def test_a_dag_file_pays_for_no_heavy_package(module: str) -> None:
    heavy = {"pyspark", "py4j", "sklearn", "scipy", "numpy", "pandas", "pyarrow", "kafka", "lark"}
    assert loaded_by(f"import airflow_provider_mlsql.{module}") & heavy == set()


@pytest.mark.parametrize("module", ["submission.client_mode", "app"])
def test_what_waits_for_spark_begins_without_heavy_packages(module: str) -> None:
    """The one comes before spark-submit, the other before the session."""
    heavy = {"pyspark", "sklearn", "scipy", "numpy", "pandas", "pyarrow", "kafka", "lark", "airflow"}
    assert loaded_by(f"import mlsql_runtime.{module}") & heavy == set()


def test_the_runtime_runs_without_airflow() -> None:
    code = """
import sys
sys.modules["airflow"] = None  # importing it raises ImportError
import mlsql_runtime.app, mlsql_runtime.engine, mlsql_runtime.submission.precheck
import mlsql_runtime.store.version_watch, mlsql_runtime.training.group
"""
    assert "mlsql_runtime" in loaded_by(code)


def test_plans_and_the_store_need_no_pyspark() -> None:
    code = """
import sys
sys.modules["pyspark"] = None
import mlsql_runtime.plan, mlsql_runtime.result, mlsql_runtime.submission.precheck
import mlsql_runtime.store.publish, mlsql_runtime.store.versions, mlsql_runtime.store.version_watch
"""
    assert "fsspec" in loaded_by(code)


def test_the_provider_info_names_modules_that_exist() -> None:
    import importlib

    from airflow_provider_mlsql import __version__, get_provider_info

    info = get_provider_info()
    assert info["package-name"] == "airflow-provider-mlsql"
    assert info["versions"] == [__version__]
    for kind in ("operators", "sensors", "triggers", "hooks"):
        for module in info[kind][0]["python-modules"]:
            importlib.import_module(module)
