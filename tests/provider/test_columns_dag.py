"""The example DAG of a table with columns, in a real Airflow: the function finds most of the customers who leave."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from support.airflow import Airflow

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.signature import Column
from mlsql_runtime.store.versions import read_manifest


def test_customers_who_leave_are_found_by_their_columns(airflow: Airflow, tmp_path: Path) -> None:
    data, model, output = (str(tmp_path / name) for name in ("customers.parquet", "m", "out"))
    airflow.succeed("mlsql_columns", {"data_path": data, "model_path": model, "output_path": output, "rows": 500})
    values = airflow.xcoms("mlsql_columns")
    assert values["train"]["score"] >= 0.8
    assert values["register"]["registered"]
    signature = read_manifest(Location.of(model)).signature
    assert signature is not None
    assert signature.names == ("months", "calls", "income", "plan")
    assert (signature.label, signature.classes) == (Column(name="churned", type="string"), ("no", "yes"))
    customers = pq.read_table(data).to_pylist()
    found = {row["id"]: row["probability"] for row in pq.read_table(output).to_pylist()}
    leaving = {row["id"] for row in customers if row["churned"] == "yes"}
    assert 0 < len(leaving) < 500
    assert len(leaving & found.keys()) > 0.7 * len(leaving)
    assert len(found.keys() - leaving) < 0.3 * len(found)
    assert all(0.5 <= probability <= 1 for probability in found.values())
