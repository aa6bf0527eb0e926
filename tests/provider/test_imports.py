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


HEAVY = {"pyspark", "py4j", "sklearn", "scipy", "numpy", "pandas", "pyarrow", "kafka", "lark"}


def run_python(code: str) -> str:
    """Run code in a new interpreter, and return the last line that it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules in a new interpreter after ``code``."""
    report = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    return set(json.loads(run_python(f"{code}\n{report}")))


@pytest.fixture(scope="module")
def loaded_in_turn() -> dict[str, set[str]]:
    """The heavy packages that each module loads when one interpreter imports all modules, one after the other."""
    code = f"""
import importlib, json, sys
heavy, loaded, found = {sorted(HEAVY)!r}, set(), {{}}
for module in {MODULES!r}:
    importlib.import_module("airflow_provider_mlsql." + module)
    found[module] = [name for name in heavy if name in sys.modules and name not in loaded]
    loaded.update(found[module])
print(json.dumps(found))
"""
    return {module: set(names) for module, names in json.loads(run_python(code)).items()}


@pytest.mark.parametrize("module", MODULES)
def test_a_dag_file_pays_for_no_heavy_package(module: str, loaded_in_turn: dict[str, set[str]]) -> None:
    assert loaded_in_turn[module] == set()


@pytest.mark.parametrize("module", ["submission.client_mode", "app"])
def test_what_waits_for_spark_begins_without_heavy_packages(module: str) -> None:
    """The one comes before spark-submit, the other before the session."""
    assert loaded_by(f"import mlsql_runtime.{module}") & (HEAVY | {"airflow"}) == set()


def test_a_script_begins_without_the_documents_of_jobs_and_versions() -> None:
    """Every script of every group imports these; plans and manifests would double the time."""
    code = "import json, sys, mlsql, mlsql_model, python_fun\nprint(json.dumps(list(sys.modules)))"
    loaded = set(json.loads(run_python(code)))
    assert loaded & {"mlsql_runtime.plan", "mlsql_runtime.result", "mlsql_runtime.store.manifest"} == set()
    assert "mlsql_runtime.script.protocol" in loaded


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
