"""``mlsql fit``: from a cold process to an answer, and where the time goes; the same data by way of Spark beside it.

``python benchmarks/mlsql_fit.py`` writes ``benchmarks/results/mlsql_fit.md``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from measure import machine, table

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "mlsql_fit.md"
SCRIPT = str(ROOT / "example_dags" / "scripts" / "train_bayes.py")
GOAL = 5.0  # seconds, for 100 rows
ROUNDS = 5
Parts = dict[str, float]


def sample() -> Path:
    """Return the path of 100 rows of libsvm, 692 wide, that come with Spark."""
    found = find_spec("pyspark")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "data" / "mllib" / "sample_libsvm_data.txt"


def run(arguments: Sequence[str]) -> Parts:
    """One cold run; seconds of its parts. ``start`` is what the process takes before and after the request."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "mlsql_runtime.cli.main", "fit", SCRIPT, *arguments, "--json"], capture_output=True, check=True
    )
    wall = time.perf_counter() - begun
    seconds: Parts = json.loads(done.stdout)["seconds"]
    rest = seconds["total"] - seconds["data"] - seconds["script"]
    return {
        "wall": wall,
        "start": wall - seconds["total"],
        "data": seconds["data"],
        "script": seconds["script"],
        "rest": rest,
    }


def imports() -> float:
    """Seconds of a process that only imports what the script does: no way to train is faster."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import pyarrow, sklearn.naive_bayes"], check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Measure, print, and write the results."""
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.txt"
        large.write_text(sample().read_text() * 200)
        ways = {
            "100 rows, libsvm": ["--data", f"libsvm.`{sample()}`", "--validate", "0.2"],
            "20,000 rows (21 MB), libsvm": ["--data", f"libsvm.`{large}`", "--validate", "0.2"],
            "100 rows, libsvm, --spark": ["--data", f"libsvm.`{sample()}`", "--validate", "0.2", "--spark"],
        }
        taken: dict[str, list[Parts]] = {name: [] for name in ways}
        bare: list[float] = []
        for number in range(ROUNDS + 1):
            for name, arguments in ways.items():
                parts = run(arguments)
                if number:
                    taken[name].append(parts)
            bare.append(imports())
    lines = []
    for name, rounds in taken.items():
        middle = {part: statistics.median(each[part] for each in rounds) for part in rounds[0]}
        walls = [each["wall"] for each in rounds]
        spread = f"{middle['wall']:.2f} ({min(walls):.2f} to {max(walls):.2f})"
        lines.append([name, spread, *(f"{middle[part]:.2f}" for part in ("start", "data", "script", "rest"))])
    text = f"""# mlsql fit

{machine("pyarrow", "numpy", "scikit-learn")}; train_bayes.py, a cold process each time.
Medians of {ROUNDS} rounds after a warm-up, interleaved, in seconds; load average {os.getloadavg()[0]:.1f} at the end.
`start`: the command's own process up to the request, and its end; `data`: read, held out, written; `script`: the child process;
`rest`: model and folders.
A process that does nothing but import pyarrow and scikit-learn takes {statistics.median(bare[1:]):.2f}.
The goal is {GOAL:.0f} for 100 rows.
`python benchmarks/mlsql_fit.py` makes this page.

{table(["data", "from shell to answer", "start", "data", "script", "rest"], lines)}"""
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
