"""Check what a release would publish. ``make release-check`` runs all checks, ``CHECKS='changelog build'`` some of them.

It builds into ``.work/release/dist``, installs the wheel into an environment of its own, and runs the demo there, in a folder
outside of this checkout. CONTRIBUTING.md has the steps of a release.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from airflow_home import ROOT, WORK

from mlsql_runtime import __version__

NAME = "airflow-provider-mlsql"
FOLDER = WORK / "release"
DIST, ENVIRONMENT = FOLDER / "dist", FOLDER / "venv"
OUTSIDE = ("scripts/demo.py", "scripts/airflow_home.py", "example_dags")  # what the demo needs of the checkout
_ENTRY = re.compile(r"^## (?P<version>\d\S*) - (?P<date>unreleased|\d{4}-\d\d-\d\d)$", re.MULTILINE)
_OF_THE_CHECKOUT = ("PYTHONPATH", "SPARK_HOME", "VIRTUAL_ENV", "SPARK_SUBMIT_OPTS")


class CheckFailed(Exception):
    """A check failed; the text says what to do."""


def run(*command: str | Path, folder: Path = ROOT, **variables: str) -> str:
    """Run a command and return its output, without what the environment says about this checkout.

    :param folder: the working directory.
    :param variables: environment variables to add.
    :raises CheckFailed: when it ends with an exit code other than 0, with its output.
    """
    env = {name: value for name, value in os.environ.items() if name not in _OF_THE_CHECKOUT} | variables
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise CheckFailed(f"{' '.join(map(str, command))} ended with exit code {done.returncode}:\n{done.stdout.strip()}")
    return done.stdout


def find_wheel() -> Path:
    """Return the wheel that was built.

    :raises CheckFailed: when there is not exactly one.
    """
    found = sorted(DIST.glob("*.whl"))
    if len(found) != 1:
        raise CheckFailed(f"{DIST} has {len(found)} wheels, expected 1; run the check build first")
    return found[0]


def check_changelog() -> str:
    """Compare the newest entry of the changelog with the version of the package."""
    found = _ENTRY.search((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    newest = found["version"] if found else "none"
    if found is None or newest != __version__:
        raise CheckFailed(
            f"the newest entry of CHANGELOG.md is {newest}, expected {__version__}, which mlsql_runtime/__init__.py says; "
            f"correct one of them (an entry begins with: ## {__version__} - unreleased, or a date instead of unreleased)"
        )
    return f"{newest}, {found['date']}"


def build() -> str:
    """Build the source distribution, and the wheel from it."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, ROOT)
    return ", ".join(f"{path.name} ({path.stat().st_size >> 10} KiB)" for path in sorted(DIST.iterdir()))


def check_metadata() -> str:
    """Let twine check names, versions and the description, as a package index does."""
    files = sorted(DIST.iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    return f"twine accepts {len(files)} files"


def check_wheel() -> str:
    """Run the tests of packaging on this wheel."""
    options = ("-q", "-n", "0", "-p", "no:cacheprovider", "--durations=0", "--durations-min=60")
    output = run(sys.executable, "-m", "pytest", *options, "tests/test_packaging.py", MLSQL_WHEEL=str(find_wheel()))
    return output.strip().rpartition("\n")[2].strip("= ")


def install() -> str:
    """Install the wheel into an environment of its own, with the versions of constraints.txt."""
    uv = Path(sys.executable).parent / "uv"
    python = ENVIRONMENT / "bin" / "python"
    wanted = f"{NAME}[sklearn] @ {find_wheel().as_uri()}"  # with scikit-learn, which the demo's scripts import
    cache = ("--no-cache",) if os.environ.get("CI") else ()
    run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, ENVIRONMENT)
    command = ("pip", "install", "--quiet", *cache, "--python", python, "--constraint", ROOT / "constraints.txt", wanted)
    run(uv, *command, UV_NATIVE_TLS="1")
    return run(uv, "pip", "check", "--python", python).strip().splitlines()[-1]


def check_provider() -> str:
    """Compare what Airflow finds in that environment with Airflow's own schema of a provider."""
    import jsonschema

    code = "import json, airflow_provider_mlsql as p; print(json.dumps([p.__file__, p.get_provider_info()]))"
    file, info = json.loads(run(ENVIRONMENT / "bin" / "python", "-c", code, folder=FOLDER))
    packages = Path(file).parents[1]
    if ENVIRONMENT not in packages.parents:
        raise CheckFailed(f"the environment imports {file}, which is not in it; look at what {packages} has to do with it")
    jsonschema.validate(info, json.loads((packages / "airflow" / "provider_info.schema.json").read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as home:
        listing = run(ENVIRONMENT / "bin" / "airflow", "providers", "list", "--output", "plain", folder=FOLDER, AIRFLOW_HOME=home)
    if not any(line.split()[:1] == [NAME] and line.split()[-1] == __version__ for line in listing.splitlines()):
        raise CheckFailed(f"airflow providers list does not name {NAME} {__version__}:\n{listing}")
    return f"Airflow finds {NAME} {__version__}"


def run_demo() -> str:
    """Run the demo in that environment, and outside of the checkout."""
    with tempfile.TemporaryDirectory(prefix="mlsql-release-") as name:
        outside = Path(name)
        for path in OUTSIDE:
            target = outside / path
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / path).is_dir() else shutil.copyfile)(ROOT / path, target)
        output = run(ENVIRONMENT / "bin" / "python", outside / "scripts" / "demo.py", folder=outside)
    last = output.strip().rpartition("\n")[2]
    if " rows=100 " not in last:
        raise CheckFailed(f"the demo ended with {last!r}, expected 100 rows of predictions:\n{output}")
    return last.partition(" predictions=")[0]


CHECKS: dict[str, Callable[[], str]] = {
    "changelog": check_changelog,
    "build": build,
    "metadata": check_metadata,
    "wheel": check_wheel,
    "install": install,
    "provider": check_provider,
    "demo": run_demo,
}


def main() -> int:
    """Run the checks that the arguments name, or all of them, until one fails; return 0 if every one passed."""
    wanted = sys.argv[1:] or list(CHECKS)
    if not CHECKS.keys() >= set(wanted):
        sys.exit(f"the checks are {', '.join(CHECKS)}; got {' '.join(wanted)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        started = time.monotonic()
        try:
            result = CHECKS[name]()
        except CheckFailed as error:
            print(f"{name:<10} FAILED: {error}", file=sys.stderr)
            return 1
        print(f"{name:<10} {result} ({time.monotonic() - started:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
