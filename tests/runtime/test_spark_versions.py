"""Releases of Spark, in installations made of the files and metadata that decide."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest
from support.workbench import SAMPLE

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import NO_SECRETS, Load, Plan, Show
from mlsql_runtime.spark_versions import check_installation, check_session
from mlsql_runtime.submission.client_mode import ClientJob


@pytest.fixture
def spark_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SPARK_HOME with a PySpark of its own, and without a Spark in it."""
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    (tmp_path / "jars").mkdir()
    (tmp_path / "python/pyspark").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("version", ["4.1.0", "4.1.4", "4.2.0", "4.2.1-amzn-0"])
def test_supported_releases_pass(spark_home: Path, version: str) -> None:
    (spark_home / f"jars/spark-core_2.13-{version}.jar").touch()
    check_installation()


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("4.0.2", "Spark 4.0.2 in {home} has no arrow_udf, by which registered functions run; use Spark 4.1 or 4.2"),
        ("3.5.9", "Spark 3.5.9 in {home} has no arrow_udf, by which registered functions run; use Spark 4.1 or 4.2"),
        ("4.3.0", "Spark 4.3.0 in {home} is newer than the releases that this provider knows; use Spark 4.1 or 4.2"),
        ("4.10.0", "Spark 4.10.0 in {home} is newer than the releases that this provider knows; use Spark 4.1 or 4.2"),
    ],
)
def test_a_job_does_not_start_on_another_release(spark_home: Path, version: str, message: str) -> None:
    (spark_home / f"jars/spark-core_2.13-{version}.jar").touch()
    plan = Plan(job_id="job", statements=(Load(table="data", format="libsvm", path=SAMPLE), Show(table="data")))
    with pytest.raises(InputError) as caught:
        ClientJob(plan, NO_SECRETS, "local[1]", {}).run(lambda submission: pytest.fail("submitted"), print)
    assert caught.value.message == message.format(home=spark_home)


@pytest.mark.parametrize("jar", ["arrow-1.jar", "spark-core_2.13.jar", "spark-core_2.13-main.jar"])
def test_a_home_whose_jars_do_not_tell_is_left_to_the_application(spark_home: Path, jar: str) -> None:
    (spark_home / "jars" / jar).touch()
    check_installation()


def test_packages_of_two_releases_are_refused(spark_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, version in {"pyspark": "4.1.1", "pyspark_client": "4.2.0"}.items():
        folder = spark_home / "site" / f"{package}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(spark_home / "site"), *sys.path])
    with pytest.raises(InputError) as caught:
        check_installation()
    assert caught.value.message == (
        "pyspark 4.1.1 and pyspark-client 4.2.0 overwrite each other's files; install one release of both: "
        "pip install --force-reinstall --no-deps 'pyspark==4.1.*' 'pyspark-client==4.1.*'"
    )


@pytest.mark.parametrize("is_in_process", [False, True])
def test_another_release_than_that_of_pyspark_is_named_before_it_starts(
    spark_home: Path, monkeypatch: pytest.MonkeyPatch, is_in_process: bool
) -> None:
    folder = spark_home / "site/pyspark-4.2.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: pyspark\nVersion: 4.2.0\n")
    monkeypatch.setattr(sys, "path", [str(spark_home / "site")])
    (spark_home / "jars/spark-core_2.13-4.1.1.jar").touch()
    check_installation()  # spark-submit takes the PySpark of SPARK_HOME
    if not is_in_process:
        (spark_home / "python/pyspark").rmdir()
    with pytest.raises(
        InputError, match=r"^PySpark 4\.2\.0 runs with Spark 4\.1\.1, which is another release; correct SPARK_HOME"
    ):
        check_installation(is_in_process=is_in_process)


def test_pyspark_and_its_spark_must_be_of_one_release() -> None:
    check_session("4.2.0", "4.2.1")
    with pytest.raises(InputError, match=r"^PySpark 4\.2\.0 runs with Spark 4\.1\.1, which is another release"):
        check_session("4.2.0", "4.1.1")


@pytest.mark.parametrize(
    ("is_package", "expected"), [(True, "pyspark/__init__.py"), (False, "python/lib/pyspark.zip/pyspark/__init__.py")]
)
def test_an_application_imports_the_installed_pyspark_and_not_its_zip(tmp_path: Path, is_package: bool, expected: str) -> None:
    """If SPARK_HOME is not a package, as in an unpacked Spark, PySpark comes from the zip."""
    home = Path(pyspark.__path__[0])
    if not is_package:
        (tmp_path / "python").symlink_to(home / "python")
        home = tmp_path
    archive = home / "python" / "lib" / "pyspark.zip"
    code = "from mlsql_runtime.spark_versions import skip_pyspark_zip as skip; skip(); import pyspark; print(pyspark.__file__)"
    env = os.environ | {"SPARK_HOME": str(home), "PYTHONPATH": str(archive)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip().removesuffix("c").endswith(expected)
