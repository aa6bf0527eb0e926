"""How long the language takes for large and nasty scripts, and whether anything makes it fail otherwise than it says.

``make bench`` runs it and writes ``benchmarks/results/language.md``. ``--count`` and ``--seed`` choose the random scripts: the
same two give the same scripts again.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

from measure import machine, table

from mlsql_runtime.language import check_script

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import language_fuzz  # noqa: E402

SECONDS = 2.0  # for a random script; most take a millisecond, variables that grow by each other half a second

RESULTS = Path(__file__).parent / "results" / "language.md"
SIZES = (64 << 10, 256 << 10, 1 << 20, 4 << 20)
ROUNDS = 3
GROWTH = 3.0  # times the time per MiB of the smallest script that is measurable: more is not linear
MEASURABLE = 0.05  # seconds; below, it is the noise that grows
SET = "set a='1';\n"
DATA = "load csv.`/data` as data;\n"


def _repeated(part: str, begin: str = "", end: str = "") -> Callable[[int], str]:
    """Return a script that repeats ``part``; ``{n}`` in it counts."""

    def script(size: int) -> str:
        return begin + "".join(_up_to(part, size - len(begin) - len(end))) + end

    return script


def _up_to(part: str, size: int) -> Iterator[str]:
    counted = "{n}" in part
    for number in count():
        one = part.replace("{n}", str(number)) if counted else part
        size -= len(one)
        if size < 0:
            return
        yield one


TRAIN = DATA + 'train data as PythonAlg.`/m` where pythonScriptPath="/t.py"'
SHAPES: dict[str, Callable[[int], str]] = {
    "statements of all kinds": _repeated(language_fuzz.STATEMENTS),
    "short statements": _repeated(SET),
    "tables made from each other": _repeated("select * from t as t{n};\n", "load a.`b` as t;\n"),
    "one query": _repeated("a{n} + 1 as b{n},\n", "select ", "1 as c from data as t;"),
    "one query with a variable in each line": _repeated("'${a}' as b{n},\n", SET + "select ", "1 as c from data as t;"),
    "calls of functions": _repeated(
        "jack(x), ", 'register PythonAlg.`/m` as jack options pythonScriptPath="/p.py";\nselect ', "1 as c from data as t;"
    ),
    "one string": _repeated("words ", "set a='", "';"),
    "one string of escapes": _repeated(r"\'\\\a", "set a='", "';"),
    "one string of variables": _repeated("${a}", SET + "set b='", "';"),
    "one block": _repeated("''\n", "set a='''", "''';"),
    "comments": _repeated("-- one\n/* another * / */"),
    "one comment": _repeated("* ", "/*", "*/"),
    "options of load": _repeated(" and `a{n}`='1'", "load csv.`/b` where a='1'", " as t;"),
    "parameters of one group": _repeated(" and fitParam.0.a{n}='1'", TRAIN, ";"),
    "partition columns": _repeated(", a{n}", DATA + "save data as json.`/o` partitionBy a", ";"),
    "variables": _repeated("set a{n}='${a}';\n", SET),
    "variables used by the next": _repeated("set a='${a}';\nset b='${a}';\n", SET),
    "a long name": _repeated("a", "set ", "='1';"),
    "a name of dots": _repeated("a.", "set ", "a='1';"),
    "parentheses": lambda size: "select " + "(" * (size // 2) + "1" + ")" * (size // 2) + " as t;",
    "quotes in quotes": _repeated("'\"'\"`'`", "select "),
    "opened quotes": _repeated("'\\", "select "),
    "opened quotes of Spark": _repeated("r'\"\\", "select "),
    "opened blocks": _repeated("'''\"", "set a="),
    "opened comments": _repeated("/*", "select "),
    "opened back-quotes": _repeated("``", "load csv.`"),
    "opened variables": _repeated("${", "set a='", "';"),
    "opened variables in a query": _repeated("${a", "select "),
    "quotes opened in each statement": _repeated("select r';\n"),
    "statements without an end": _repeated("load csv.`b` as t\n"),
    "words": _repeated("load "),
    "semicolons": _repeated(";"),
    "spaces": _repeated(" "),
    "Chinese": _repeated("表", "select '", "' as t;"),
    "one line of mistakes": _repeated("lod csv.`b` as t; "),
    "mistakes in one statement": _repeated(" and a{n}='${b}'", "load csv.`b` where a='1'", " as t;"),
    "mistakes in one statement, many variables": lambda size: "".join(
        [
            *_up_to("set variable_{n}='1'; ", size // 2),
            "load csv.`b` where a='1'",
            *_up_to(" and a{n}='${varable{n}}'", size // 2),
            " as t;",
        ]
    ),
    "a mistake behind many options": _repeated(" and `a{n}`='1'", "load csv.`/b` where a='1'", " or as t;"),
    "unknown options": _repeated(" and fitPram.0.a{n}='1'", TRAIN, ";"),
    "passwords and a mistake": _repeated("password='x', ", "lod "),
    "opened passwords and a mistake": _repeated("password = '\\", "lod "),
    "passwords without a value": _repeated("password ", "lod "),
    "spaces behind a password": _repeated(" ", "lod password"),
}


def seconds_of(text: str) -> float:
    """Of the processor, for all that is wrong with a script; the least of a few rounds, as long as they are short."""
    best = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        begun = time.process_time()
        check_script(text, folder="/nowhere")
        best = min(best, time.process_time() - begun)
        if best > MEASURABLE:
            break
    return best


def megabytes(text: str) -> float:
    """Write the script to a file."""
    return len(text.encode()) / (1 << 20)


def growth(rates: Sequence[float], seconds: Sequence[float]) -> float:
    """How many times as long a MiB takes in the largest script as in the smallest one that takes measurably long."""
    return max((rates[-1] / rate for rate, took in zip(rates, seconds, strict=True) if took > MEASURABLE), default=1.0)


def measure(shape: Callable[[int], str]) -> tuple[list[float], float]:
    """Seconds per MiB for each size, and how they grow."""
    rates, seconds = [], []
    for size in SIZES:
        text = shape(size)
        seconds.append(seconds_of(text))
        rates.append(seconds[-1] / megabytes(text))
    return rates, growth(rates, seconds)


def measure_all() -> tuple[list[list[str]], list[str]]:
    """Return the lines of the table, and the names of shapes that take longer than they should."""
    lines, slow = [], []
    for name, shape in SHAPES.items():
        rates, grown = measure(shape)
        lines.append([name, *(f"{rate:.2f}" for rate in rates), f"{grown:.1f}x"])
        print(*lines[-1], sep="\t", flush=True)
        if grown > GROWTH:
            slow.append(name)
    return lines, slow


def arguments() -> argparse.Namespace:
    """How many random scripts, and which."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="random scripts to try")
    parser.add_argument("--seed", type=int, default=1, help="of the random scripts")
    return parser.parse_args()


def main() -> None:
    """Try random scripts, measure, print, and write the results."""
    asked = arguments()
    begun = time.process_time()
    try:
        with tempfile.TemporaryDirectory() as folder:
            tally = language_fuzz.run(asked.count, asked.seed, Path(folder), SECONDS)
    except AssertionError as error:
        sys.exit(f"seed {asked.seed}: {error}")
    took = time.process_time() - begun
    tried = f"{asked.count:,} random scripts (seed {asked.seed}) in {took:,.0f} s"
    print(f"{tried}; the slowest, {tally.seconds:.3f} s: {tally.slowest!r}", flush=True)
    lines, slow = measure_all()
    text = f"""# The language: large, nasty and random scripts

{machine("lark")}. Seconds of the processor that `check_script` takes for each MiB of a script, by the size of the script: where a
line stays level, time grows with the size and no more. Growth compares the largest script with the smallest one that takes more
than {MEASURABLE} s. `make bench` makes this page, and fails when growth is over {GROWTH:g}x.

{table(["script", *(f"{size >> 10} KiB" for size in SIZES), "growth"], lines)}
{tried}: {tally.compiled:,} compiled, {tally.refused:,} were refused, nothing else happened.
The slowest took {tally.seconds:.3f} s for {len(tally.slowest):,} characters.
"""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text, encoding="utf-8")
    print(text)
    if slow:
        sys.exit(f"not linear: {', '.join(slow)}")


if __name__ == "__main__":
    main()
