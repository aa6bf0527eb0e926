"""Check the provider in the environment of the Python that runs this, without a JVM and without processes of Airflow.

Prints a line for each check; the last line is JSON. `make test-versions` runs this in every environment that it builds.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import platform
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("airflow_provider_mlsql", "mlsql_runtime", "mlsql", "mlsql_model", "python_fun")
SINCE = {"mlsql_human_approval.py": "3.1"}  # example DAGs that need a newer Airflow than the provider does
LEFT_OUT = (
    "adlfs",
    "azure",
    "gcsfs",
    "hdfs_native",
    "mlflow",
)  # of extras that the environments lack; imported where they are used
LIGHT = ("compat", "*operator*", "options", "polling", "sensor_*", "task_run", "*_trigger")  # modules in tests/provider


def import_modules() -> str:
    """Import every module of the provider and of the runtime."""
    names = list(PACKAGES)
    for package in map(importlib.import_module, PACKAGES):
        names += [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    imported = 0
    for name in names:
        try:
            importlib.import_module(name)
            imported += 1
        except ModuleNotFoundError as error:
            if error.name not in LEFT_OUT:
                raise
    return f"{imported} modules"


def parse_dags() -> str:
    """Parse the example DAGs, as Airflow does."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.0 and 3.1
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef, attr-defined, unused-ignore]
    bag = DagBag(str(ROOT / "example_dags"))
    errors = {Path(file).name: text for file, text in bag.import_errors.items()}
    for file, since in SINCE.items():
        if f"needs Airflow {since}+" in errors.get(file, ""):
            del errors[file]
    if errors:
        raise AssertionError("\n".join(f"{file}: {text}" for file, text in errors.items()))
    return f"{len(bag.dags)} DAGs"


def find_provider() -> str:
    """Find the provider as Airflow does."""
    from airflow.providers_manager import ProvidersManager

    from airflow_provider_mlsql import __version__

    manager = ProvidersManager()  # type: ignore[no-untyped-call]
    found = manager.providers["airflow-provider-mlsql"]
    assert found.version == __version__, found
    assert "mlsql_kafka" in manager.hooks
    return __version__


class _Tests:
    """Counts the tests that pass."""

    passed = 0

    def pytest_runtest_logreport(self, report: object) -> None:
        self.passed += getattr(report, "when", "") == "call" and getattr(report, "outcome", "") == "passed"


def run_tests() -> str:
    """Run the tests of operators, sensor and triggers that need neither a JVM nor an Airflow process."""
    import pytest

    tests = _Tests()
    files = [str(path) for name in LIGHT for path in sorted((ROOT / "tests" / "provider").glob(f"test_{name}.py"))]
    options = ["-q", "-m", "light", "-W", "default", "-p", "no:cacheprovider", "--durations=5", "--rootdir", str(ROOT)]
    code = pytest.main([*options, *files], plugins=[tests])
    if code:
        raise AssertionError(f"pytest ended with exit code {code}")
    return f"{tests.passed} passed"


CHECKS: dict[str, Callable[[], str]] = {
    "imports": import_modules,
    "DAGs": parse_dags,
    "provider": find_provider,
    "tests": run_tests,
}


def main() -> int:
    """Run all checks; return 0 if every one has passed."""
    names = {"Airflow": "apache-airflow", "PySpark": "pyspark"}
    table = {"Python": platform.python_version(), **{name: version(package) for name, package in names.items()}}
    failed = False
    for name, check in CHECKS.items():
        try:
            table[name] = check()
        except Exception:
            traceback.print_exc()
            table[name], failed = "FAILED", True
        print(f"{name}: {table[name]}", flush=True)
    print(json.dumps(table), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
