"""Try broken input of every kind: each reader returns or raises one of our own errors, soon, in little memory.

``make fuzz`` runs it and writes ``benchmarks/results/fuzz.md``. The same seed and number give the same case again: ``--kind`` and
``--case`` try one of them, and show it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from measure import machine, table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.fuzz.engine import SECONDS, Kind, Tally, Violation, limited_time, make_case, run, try_case  # noqa: E402
from support.fuzz.kinds import KINDS  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "fuzz.md"
STALL_SECONDS = 60.0  # of one case on a busy machine, after which its process is ended
ADDRESS_SPACE = 4 << 30  # bytes of a process; threads and libraries reserve most of it, and use little
WARM_UP = 20  # cases that load what a reader needs, before memory is measured


@dataclass
class Outcome:
    """What came of a kind. ``memory`` is by how many bytes its process grew; ``ended`` are numbers of cases that ended it."""

    kind: Kind
    count: int
    tally: Tally = field(default_factory=Tally)
    memory: int = 0
    ended: list[int] = field(default_factory=list)

    @property
    def violations(self) -> int:
        return self.tally.violations + len(self.ended)

    def add(self, tally: Tally, memory: int) -> None:
        """Add what came of a part of the cases."""
        own = self.tally
        own.accepted, own.refused = own.accepted + tally.accepted, own.refused + tally.refused
        own.violations += tally.violations
        if own.first is None and tally.first is not None:
            own.first, own.report = tally.first, tally.report
        if tally.seconds > own.seconds:
            own.seconds, own.slowest = tally.seconds, tally.slowest
        self.memory = max(self.memory, memory)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _work(kind: Kind, seed: int, numbers: Sequence[int], current: object, results: Connection) -> None:
    """Try cases in a process of its own."""
    warnings.simplefilter("ignore")  # of libraries about damaged files
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    with tempfile.TemporaryDirectory(prefix="mlsql-fuzz-") as name:
        run(kind, seed, numbers[:WARM_UP], Path(name) / "warm")
        before = _peak()

        def note(number: int) -> None:
            current.value = number  # type: ignore[attr-defined]

        tally = run(kind, seed, numbers, Path(name) / "cases", note)
    results.send((tally, _peak() - before))


def try_kind(kind: Kind, seed: int, count: int) -> Outcome:
    """Try ``count`` cases. A case that ends its process, or stalls it, is a violation, and the others go on without it."""
    outcome, numbers = Outcome(kind, count), list(range(count))
    while numbers:
        current = multiprocessing.Value("q", -1)
        receiving, sending = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(target=_work, args=(kind, seed, numbers, current, sending))
        process.start()
        sending.close()
        found = _wait(process, receiving, current)
        if found is not None:
            outcome.add(*found)
            process.join()
            break
        process.kill()
        process.join()
        bad = int(current.value)
        if bad < 0:
            sys.exit(f"{kind.name}: the process ended with {process.exitcode} before its first case")
        outcome.ended.append(bad)  # and the cases before it are tried again, since their tally is lost
        numbers = [number for number in numbers if number not in outcome.ended]
        if len(outcome.ended) >= 5:
            break
    return outcome


def _wait(process: multiprocessing.Process, results: Connection, current: object) -> tuple[Tally, int] | None:
    """Wait for the results of a process; None when it ends without any, or stalls."""
    last, since = -2, time.monotonic()
    while not results.poll(1.0):
        number = current.value  # type: ignore[attr-defined]
        if number != last:
            last, since = number, time.monotonic()
        if time.monotonic() - since > STALL_SECONDS:
            return None
    try:
        found: tuple[Tally, int] = results.recv()
        return found
    except EOFError:
        return None


def show_case(name: str, seed: int, number: int) -> None:
    """Try one case in this process, and print it."""
    kind = next((kind for kind in KINDS if kind.name == name), None)
    if kind is None:
        sys.exit(f"there is no kind {name!r}; known are {', '.join(kind.name for kind in KINDS)}")
    with tempfile.TemporaryDirectory(prefix="mlsql-fuzz-") as folder, limited_time():
        target = kind.make(Path(folder))
        case = make_case(kind, target, seed, number)
        print(case.decode(errors="backslashreplace"))
        accepted, seconds = try_case(target, case)
    print(f"{'accepted' if accepted else 'refused'} in {seconds:.3f} s")


def write_page(outcomes: Sequence[Outcome], seed: int) -> None:
    """Write the results."""
    total = sum(outcome.count for outcome in outcomes)
    rows = [
        [
            outcome.kind.name,
            f"{outcome.count:,}",
            f"{outcome.tally.accepted:,}",
            f"{outcome.tally.refused:,}",
            f"{outcome.violations:,}",
            f"{outcome.tally.seconds * 1000:.0f} ms",
            f"{outcome.memory >> 20} MiB",
        ]
        for outcome in outcomes
    ]
    header = ["input", "cases", "accepted", "refused", "violations", "slowest", "memory"]
    RESULTS.write_text(
        f"""# Broken input

{machine("pyarrow", "pyyaml", "lark")}. {total:,} cases, seed {seed}: good documents, archives, data and records with
bytes flipped, removed, repeated and exchanged, fields removed, renamed, doubled and of other types, huge numbers, deep nesting,
half characters, other versions, and paths that lead out of a folder. `make fuzz` makes this page, and fails at a violation: an
exception that is not one of our own, a message that does not name the file or does not fit into JSON, more than {SECONDS:g} s of
the processor, a process that ends, a write outside the reader's folder, a connection, a child process, or a pickle that is
loaded. An accepted case was also used and written again. Memory is by how much the process grew in all its cases.

Not tried: a line `null` in JSON that Spark has written, at which pyarrow 26 ends the process. Spark never writes one.

{table(header, rows)}
""",
        encoding="utf-8",
    )


def main() -> None:
    """Try all kinds, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="cases of each kind; of some kinds several times as many")
    parser.add_argument("--seed", type=int, default=1, help="of the random cases")
    parser.add_argument("--kind", help="only this kind; with --case, one case of it")
    parser.add_argument("--case", type=int, help="the number of a case to try and to show")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    if asked.case is not None:
        show_case(asked.kind or "", asked.seed, asked.case)
        return
    outcomes = []
    for kind in KINDS:
        if asked.kind in (None, kind.name):
            outcome = try_kind(kind, asked.seed, round(asked.count * kind.share))
            outcomes.append(outcome)
            tally = outcome.tally
            print(
                f"{kind.name}: {tally.accepted:,} accepted, {tally.refused:,} refused, {outcome.violations:,} violations, "
                f"slowest {tally.seconds:.3f} s (case {tally.slowest}), {outcome.memory >> 20} MiB",
                flush=True,
            )
            if tally.first is not None:
                print(f"    case {tally.first}: {tally.report}", flush=True)
            if outcome.ended:
                print(f"    cases that ended their process: {outcome.ended}", flush=True)
    if asked.kind is None:
        write_page(outcomes, asked.seed)
    if any(outcome.violations for outcome in outcomes):
        sys.exit("there are violations; make fuzz SEED=… KIND='…' CASE=… tries one case again")


if __name__ == "__main__":
    try:
        main()
    except Violation as error:
        sys.exit(f"violation: {error}")
