"""The tables of a training, with MLSQL's columns, types and words."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from support.stores import make_fit_record, make_manifest

from mlsql_runtime.storage.location import Location
from mlsql_runtime.training.mlsql_meta_tables import write_meta


def test_a_script_of_mlsql_finds_what_it_looks_for(local_root: Location) -> None:
    manifest = make_manifest(
        1,
        [
            make_fit_record(0, 0.5, metrics={"loss": 0.25, "auc": None}, params={"a": "1"}),
            make_fit_record(1, None, status="timeout", message="too long"),
            make_fit_record(2, None, status="failed", message="broken"),
        ],
        parameters={"pythonVer": "3"},
        options={"pythonScriptPath": "/t.py"},
    )
    write_meta(local_root, "/t.py", manifest)
    groups = pq.read_table(f"{local_root.path}/meta/0")
    assert [(row["status"], row["message"]) for row in groups.to_pylist()] == [
        ("success", None),
        ("fail", "too long"),
        ("fail", "broken"),
    ]
    first = groups.to_pylist()[0]
    assert first["metrics"] == [{"name": "loss", "value": 0.25}, {"name": "auc", "value": None}]
    assert (first["startTime"], first["endTime"]) == (1767225600000, 1767225600000)
    assert first["modelPath"] == f"{local_root.uri}/model/0"
    assert groups.schema.field("score").type == pa.float64()
    assert groups.schema.field("startTime").type == pa.int64()
    (parameters,) = pq.read_table(f"{local_root.path}/meta/1").to_pylist()
    assert dict(parameters["systemParam"]) == {"pythonVer": "3"}
    assert dict(parameters["trainParams"]) == {
        "pythonScriptPath": "/t.py",
        "systemParam.pythonVer": "3",
        "fitParam.0.a": "1",
    }
