"""What the provider's modules import from Airflow exists in every supported version."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_mlsql
from airflow_provider_mlsql.compat import HAS_BROWSER_SESSIONS
from airflow_provider_mlsql.pages.html import render_message

# Those of Airflow 3.0. `make test-versions` runs this file on it; names that it lacks come by common.compat.sdk, or by compat.py.
EVERYWHERE = {
    "airflow.api_fastapi.app": {"get_auth_manager"},
    "airflow.api_fastapi.auth.managers.models.resource_details": {"DagAccessEntity"},
    "airflow.api_fastapi.common.db.common": {"SessionDep"},
    "airflow.api_fastapi.core_api.security": {"GetUserDep", "requires_access_dag"},
    "airflow.models.asset": {"AssetEvent"},
    "airflow.models.dag": {"DagModel"},
    "airflow.models.renderedtifields": {"RenderedTaskInstanceFields"},
    "airflow.models.taskinstance": {"TaskInstance"},
    "airflow.models.xcom": {"XComModel"},
    "airflow.plugins_manager": {"AirflowPlugin"},
    "airflow.providers.apache.spark.hooks.spark_submit": {"SparkSubmitHook"},
    "airflow.providers.cncf.kubernetes": {"kube_client"},
    "airflow.providers.common.compat.openlineage.utils.spark": {
        "inject_parent_job_information_into_spark_properties",
        "inject_transport_information_into_spark_properties",
    },
    "airflow.providers.common.compat.sdk": {
        *("AirflowFailException", "AirflowNotFoundException", "AirflowSensorTimeout", "AirflowSkipException"),
        *("AirflowTaskTimeout", "BaseHook", "XCom", "conf"),
    },
    "airflow.providers.openlineage.conf": {"is_disabled"},
    "airflow.providers.openlineage.extractors": {"OperatorLineage"},
    "airflow.sdk": {"Asset", "BaseOperator", "BaseOperatorLink", "BaseSensorOperator", "Connection", "PokeReturnValue"},
    "airflow.utils.session": {"create_session"},
    "airflow.triggers.base": {"BaseEventTrigger", "BaseTrigger", "TriggerEvent"},
}


def test_the_page_for_a_browser_without_a_cookie_has_a_script_that_finds_the_user() -> None:
    assert ("session.js" in render_message(401, "who is there?", "/login")) is not HAS_BROWSER_SESSIONS
    assert "session.js" not in render_message(404, "nothing", "/login")


def find_imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield module and name of each import from Airflow, except those for type checkers."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "airflow":
        yield from ((str(node.module), alias.name) for alias in node.names)
    assert not (isinstance(node, ast.Import) and any(alias.name.partition(".")[0] == "airflow" for alias in node.names))
    for child in ast.iter_child_nodes(node):
        yield from find_imports(child)


def test_modules_import_only_what_the_oldest_version_has() -> None:
    folder = Path(airflow_provider_mlsql.__file__).parent
    modules = [path for path in sorted(folder.rglob("*.py")) if path != folder / "compat.py"]
    found = {name for path in modules for name in find_imports(ast.parse(path.read_text()))}
    assert sorted(found) == sorted((module, name) for module, names in EVERYWHERE.items() for name in names)


@pytest.mark.filterwarnings("default")  # Airflow's own, of its imports
def test_this_version_has_them() -> None:
    for module, names in EVERYWHERE.items():
        imported = importlib.import_module(module)
        assert [name for name in sorted(names) if not hasattr(imported, name)] == []
