"""Test the provider with old versions of what it needs: `make test-versions`, or `make test-versions SETS=oldest`.

For each set of versions it builds an environment in ``.work/versions``, runs ``check_version.py`` there, and prints a table at
the end. Environments are built again only when they would be different.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from airflow_home import ROOT, WORK, environment

sys.path.append(str(ROOT / "scripts" / "jvm"))
from jars import fetch_jars

EXAMPLE = "mlsql_train_register_predict"
EXTRAS = "sklearn,lightgbm,s3,kubernetes,openlineage"  # no check imports TensorFlow or Keras
TOOLS = ("hypothesis", "moto[s3,server]", "pytest", "pytest-timeout")  # of the tests
COLUMNS = ("Python", "Airflow", "PySpark", "imports", "DAGs", "provider", "tests", "example", "Iceberg")
FAILED = "FAILED"  # in the table, instead of a result
UV = str(Path(sys.executable).parent / "uv")


@dataclass(frozen=True)
class VersionSet:
    """A set of versions.

    :param python: the Python to use if this machine has it, and otherwise the one that runs this.
    :param pins: requirements beside those of pyproject.toml.
    :param options: of ``uv pip install``.
    :param runs_spark: whether the example DAG runs for real, and a job on Iceberg tables.
    """

    name: str
    python: str
    pins: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    runs_spark: bool = False

    @property
    def folder(self) -> Path:
        return WORK / "versions" / self.name

    @property
    def bin(self) -> Path:
        return self.folder / "venv" / "bin"


SETS = (
    VersionSet("oldest", "3.10", options=("--resolution", "lowest-direct"), runs_spark=True),
    VersionSet("airflow-3.0", "3.11", ("apache-airflow~=3.0.6",)),
    VersionSet("airflow-3.1", "3.12", ("apache-airflow~=3.1.8",)),
    VersionSet("airflow-3.2", "3.13", ("apache-airflow~=3.2.2",)),
)


def build(versions: VersionSet) -> None:
    """Build the environment, unless it is there."""
    found = subprocess.run([UV, "python", "find", versions.python], capture_output=True, text=True, check=False)
    python = found.stdout.strip() or sys.executable
    sources = [(ROOT / "pyproject.toml").read_text(), repr(versions), EXTRAS, *TOOLS, python, str(ROOT)]
    digest = hashlib.sha256("\n".join(sources).encode()).hexdigest()
    stamp = versions.folder / "stamp"
    if stamp.exists() and stamp.read_text() == digest:
        return
    print(f"{versions.name}: building an environment in {versions.folder}", flush=True)
    shutil.rmtree(versions.folder, ignore_errors=True)
    env = {"UV_NATIVE_TLS": "1", **os.environ}
    install = [UV, "pip", "install", "--quiet", "--python", str(versions.bin / "python")]
    wanted = [f"--editable={ROOT}[{EXTRAS}]", *versions.pins]
    for command in (
        [UV, "venv", "--quiet", "--python", python, str(versions.bin.parent)],
        [*install, *versions.options, *wanted],
        [*install, *wanted, *TOOLS],  # tools of any version that suits what is installed
    ):
        subprocess.run(command, env=env, check=True)
    stamp.write_text(digest)


def check(versions: VersionSet) -> dict[str, str]:
    """Run the checks in the environment and return their results by its columns."""
    home = versions.folder / "airflow"
    shutil.rmtree(home, ignore_errors=True)
    env = environment(home) | {"PATH": f"{versions.bin}{os.pathsep}{os.environ['PATH']}"}
    for name in ("SPARK_HOME", "SPARK_SUBMIT_OPTS", "PYTHONPATH"):  # of another Spark
        env.pop(name, None)
    with (versions.folder / "check.log").open("w") as log:
        script = [str(versions.bin / "python"), str(ROOT / "scripts" / "check_version.py")]
        subprocess.run(script, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT, check=False)
    last = (versions.folder / "check.log").read_text().strip().rpartition("\n")[2]
    results: dict[str, str] = json.loads(last) if last.startswith("{") else {"imports": FAILED}
    if versions.runs_spark:
        results["example"] = "ran" if run_example(versions, env) else FAILED
        results["Iceberg"] = "ran" if run_iceberg(versions, env) else FAILED
    return results


def run_example(versions: VersionSet, env: dict[str, str]) -> bool:
    """Run the example DAG and return whether it has written its predictions."""
    airflow, output = str(versions.bin / "airflow"), versions.folder / "example"
    shutil.rmtree(output, ignore_errors=True)
    conf = json.dumps({"model_path": str(output / "model"), "output_path": str(output / "predictions")})
    with (versions.folder / "example.log").open("w") as log:
        for command in (["db", "migrate"], ["dags", "reserialize"], ["dags", "test", EXAMPLE, "--conf", conf]):
            subprocess.run([airflow, *command], env=env, stdout=log, stderr=subprocess.STDOUT, check=False)
    return (output / "predictions" / "_SUCCESS").exists()


def run_iceberg(versions: VersionSet, env: dict[str, str]) -> bool:
    """Run a job that trains on Iceberg tables and writes to them, and return whether all was as expected."""
    folder = versions.folder / "iceberg"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (jar,) = fetch_jars("iceberg").glob("*.jar")
    command = [str(versions.bin / "python"), str(ROOT / "tests" / "spark" / "iceberg_job.py"), str(jar), str(folder)]
    own = {"PYTHONPATH": str(ROOT / "tests"), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": str(versions.bin / "python")}
    with (versions.folder / "iceberg.log").open("w") as log:
        done = subprocess.run(command, env=env | own, stdout=log, stderr=subprocess.STDOUT, check=False)
    return done.returncode == 0


def main() -> int:
    """Test the sets that the arguments name, or all of them; return 0 if everything has passed."""
    known = {versions.name: versions for versions in SETS}
    wanted = sys.argv[1:] or list(known)
    if not known.keys() >= set(wanted):
        sys.exit(f"the sets are {', '.join(known)}; got {' '.join(wanted)}")
    rows: list[tuple[str, ...]] = [("set", *COLUMNS)]
    for name in wanted:
        try:
            build(known[name])
            results = check(known[name])
        except subprocess.CalledProcessError as error:
            print(error, file=sys.stderr)
            results = {"imports": FAILED}
        rows.append((name, *(results.get(column, "") for column in COLUMNS)))
        if FAILED in rows[-1]:
            print(f"{name}: something has failed; see the logs in {known[name].folder}", file=sys.stderr, flush=True)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    return int(any(FAILED in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
