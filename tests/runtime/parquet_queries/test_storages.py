"""Which storages the executors of a cluster are known to reach."""

from __future__ import annotations

from mlsql_runtime.parquet_queries.table import find_storages
from mlsql_runtime.plan import NO_ACCESS
from mlsql_runtime.storage.location import Location


def test_they_are_those_of_the_models_of_the_called_functions(s3_server: str) -> None:
    paths = {"Jack": f"{s3_server}/models/jack", "jill": "/models/jill"}
    s3, local = (Location.of(path).storage for path in paths.values())
    assert s3 != local
    assert find_storages({"jack", "vec_norm"}, paths, NO_ACCESS) == {s3}
    assert find_storages({"jack", "jill"}, paths, NO_ACCESS) == {s3, local}
