"""A query in a file: only the argument ``sql`` names one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from jinja2 import TemplateNotFound
from support.operators import predict, train

from airflow_provider_mlsql.operators.base import MLSQLOperator
from mlsql_runtime.plan import Load, Select


@pytest.mark.parametrize("make", [train, predict])
def test_the_query_is_read_and_rendered_and_other_names_stay(tmp_path: Path, make: Callable[..., MLSQLOperator]) -> None:
    (tmp_path / "rows.sql").write_text("select * from data where day = '{{ day }}'")
    data: dict[str, Any] = {"format": "text", "path": "/data/{{ day }}/dump.sql", "options": {"x": "y.sql"}}
    with DAG("d", start_date=datetime(2024, 5, 1), schedule=None, template_searchpath=[str(tmp_path)]):
        operator = make(data=data, sql="rows.sql", spark_conn_id="spark.sql")
    operator.resolve_template_files()
    operator.render_template_fields({"day": "2024-05-01"})  # type: ignore[typeddict-unknown-key]
    assert operator.spark_conn_id == "spark.sql"
    load, select = operator.build_job().statements[:2]
    assert load == Load(table="data", format="text", path="/data/2024-05-01/dump.sql", options={"x": "y.sql"})
    assert isinstance(select, Select)
    assert select.sql == "select * from data where day = '2024-05-01'"


def test_a_query_that_is_text_stays(tmp_path: Path) -> None:
    with DAG("d", start_date=datetime(2024, 5, 1), schedule=None):
        operator = predict(sql="select '.sql' from data")
    operator.render_template_fields({})  # type: ignore[arg-type]
    assert operator.sql == "select '.sql' from data"


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with DAG("d", start_date=datetime(2024, 5, 1), schedule=None, template_searchpath=[str(tmp_path)]):
        operator = predict(sql="nowhere.sql")
    with pytest.raises(TemplateNotFound, match=r"nowhere\.sql"):
        operator.render_template_fields({})  # type: ignore[arg-type]
