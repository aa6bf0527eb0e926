"""What is known of Spark without a session, compared with what a session says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlsql_runtime.errors import SessionNeeded
from mlsql_runtime.scoring.return_type import read_return_type, read_usual_type
from mlsql_runtime.scoring.spark_functions import NAMES
from mlsql_runtime.spark_versions import RELEASES, find_release

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_the_names_of_its_functions(spark: SparkSession) -> None:
    listed = {row[0] for row in spark.sql("show system functions").collect()}
    release = find_release()
    assert release is not None
    assert NAMES[release] == {name for name in listed if name.isidentifier()}
    assert NAMES.keys() == set(RELEASES)


@pytest.mark.parametrize(
    "declared",
    [
        *("double", " DOUBLE ", "Integer", "long", "real", "boolean", "binary", "date", "timestamp", "timestamp_ntz"),
        *("decimal(10, 2)", "ARRAY < double >", "map<string,array<int>>", "struct<Label: STRING, p: double>"),
        *("struct<a:struct<b:long>,c:array<struct<d:short>>>", "interval day to second", "struct<date:date,long:long>"),
    ],
)
def test_the_usual_types_are_read_as_spark_reads_them(spark: SparkSession, declared: str) -> None:
    from pyspark.sql.types import DataType

    assert read_usual_type(declared) == DataType.fromDDL(declared).simpleString()


@pytest.mark.parametrize(
    "declared",
    [
        *(
            "decimal",
            "decimal(10)",
            "decimal(2,3)",
            "decimal(50,0)",
            "a double",
            "a: double",
            "struct<a int>",
            "struct<`a`: int>",
        ),
        *(
            "struct<a: int, A: int>",
            "struct<>",
            "array<vector>",
            "array<>",
            "string collate utf8_lcase",
            "variant",
            "void",
            "",
            "x",
        ),
        *("interval year", "double precision", "struct<a: int comment 'x'>", "struct<a b: int>", "array<int", "timestamp_ltz"),
    ],
)
def test_other_types_are_left_to_spark(declared: str) -> None:
    assert read_usual_type(declared) is None
    with pytest.raises(SessionNeeded, match="only Spark can read the type returns="):
        read_return_type(declared, None)
