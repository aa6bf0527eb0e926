"""Run small real jobs with faults at random moments, and look at what they leave.

``make faults`` goes on where the last piece stopped, for twenty minutes: it adds each case to the journal of all pieces,
``benchmarks/results/faults.jsonl``, and writes ``faults.md`` from it. ``make faults SEED=17`` runs one case again, and shows it.
``make faults ONLY='yarn.*NameNode'`` runs the open cases in whose description a pattern is found. ``make faults BUG='no topic is
removed'`` runs cases on a copy of the code with that bug, until one of them finds it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from measure import machine, table

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts" / "jvm")]
sys.path.append(str(ROOT / ".work" / "faults"))  # libfaketime

from support import shared_run  # noqa: E402
from support.faults import bugs, kinds, network  # noqa: E402
from support.faults.campaign import Campaign, open_campaign, set_import_path  # noqa: E402
from support.faults.cases import Case  # noqa: E402
from support.faults.journal import Finding, Journal, Record, list_open_seeds  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "faults.md"
JOURNAL = RESULTS.with_suffix(".jsonl")
LOGS = ROOT / ".work" / "faults-logs"
COUNT = 300
BUG_COUNT = 50
_BUG = "MLSQL_FAULTS_BUG"  # in the environment of a campaign on code with a bug: where the copy is
_PATH = re.compile(r"(?<![\w:/])/(?:[\w.+@-]+/)+")


def isolate() -> None:
    """Go on in a network and with mounts of this process's own, which takes root: partitions and small disks need both."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        return
    if not network.is_private():
        os.environ[network.PRIVATE] = "1"
        os.execvp(network.COMMAND[0], [*network.COMMAND, sys.executable, *sys.argv])  # noqa: S606
    network.prepare()


def put_bug(name: str) -> None:
    """Go on with a copy of the code that has a bug."""
    if _BUG not in os.environ:
        if name not in bugs.BUGS:
            sys.exit(f"there is no bug {name!r}; known are {', '.join(bugs.BUGS)}")
        folder = tempfile.mkdtemp(prefix="faults-bug-")
        bugs.write_copy(name, Path(folder))
        os.environ |= {_BUG: folder, "PYTHONPATH": folder}
        os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606


def find_bug(campaign: Campaign, journal: Journal, name: str, seeds: Sequence[int], only: str | None) -> None:
    """Run cases until one has a violation, and note how many that took."""
    for number, seed in enumerate(seeds[:BUG_COUNT], 1):
        record = campaign.run(Case.of(seed))
        print_record(record)
        if record.violations:
            journal.add(Finding(name, only, number, seed, shorten(record.violations[0])))
            return
    journal.add(Finding(name, only, len(seeds[:BUG_COUNT]), None, "not found"))
    sys.exit(f"{len(seeds[:BUG_COUNT])} cases have not found the bug {name!r}")


def list_seeds(count: int, only: str | None) -> list[int]:
    """Return the seeds from 1 whose cases a pattern finds."""
    seeds = range(1, count + 1)
    return [seed for seed in seeds if only is None or re.search(only, Case.of(seed).describe())]


def run_piece(campaign: Campaign, journal: Journal, seeds: Sequence[int], minutes: float) -> None:
    """Run cases until the time is over, and add each to the journal."""
    end = time.monotonic() + 60 * minutes
    skipped = {record.seed for record in journal.read_all() if record.skipped}
    for seed in seeds:
        if time.monotonic() > end:
            print("the time is over; make faults goes on from here")
            break
        record = campaign.run(Case.of(seed))
        record.violations = [shorten(each) for each in record.violations]
        if record.skipped is None or seed not in skipped:
            journal.add(record)
            print_record(record)


def print_record(record: Record) -> None:
    """Print what came of a case."""
    print("\n    ".join((record.show(), *record.violations)), flush=True)


def write_page(journal: Journal, count: int) -> list[Record]:
    """Write the results; return the cases with violations."""
    newest = journal.read()
    ran = [record for _, record in sorted(newest.items()) if record.skipped is None]
    skipped = [record for _, record in sorted(newest.items()) if record.skipped is not None]
    bad = [record for record in ran if record.violations]
    mended = sorted({record.seed for record in journal.read_all() if record.violations} - {record.seed for record in bad})
    text = f"""# Faults at random moments

{machine("pyspark", "apache-airflow")}. {len(ran)} of {count} cases, {sum(len(each.tries) for each in ran)} tries: small jobs
of the operators and the sensor, each with one or two faults at moments that the seed of the case gives. Airflow's part was
played: a task that failed or was killed was tried again, up to three times. **Open violations: {len(bad)}.**

After each case a program that knows only the files of the store, the process table and the broker looked for violations:

- a version or a function that can be seen and is not whole, or differs from its digests; a pointer to nothing; on a disk of
  this machine also while the job runs, when it is first seen;
- rows of training data or predictions that are missing, doubled or wrong; another number of versions than trainings;
- a process, a topic, a consumer group, an application, a staged or temporary file that is left;
- a task that fails without a fault, with a message that does not name the fault, or in all tries; a try that hangs.

The seeds draw every kind of fault at every place in turn, those of local Spark more often, which cost least.
{_count_kinds(ran)}

`make faults` goes on where the last piece stopped. `make faults SEED=17` runs one case again.
[docs/explanation/faults.md](../../docs/explanation/faults.md) says what is promised.

## Faults

Cases at each place; one with two faults counts in two rows. *Reached*: the job still ran at the drawn moment. *Absorbed*: the
try in which the fault was reached succeeded all the same. Other tries were killed or failed, and a later one succeeded.

{table(["fault", *kinds.JOBS, "reached", "absorbed", "violations"], _rows_of_faults(ran))}
## Jobs

{table(["job", "place", "storage of the model", "cases", "tries", "violations"], _rows_of_jobs(ran))}
"""
    if bad:
        rows = [[str(each.seed), each.job, each.place, " and ".join(each.faults), _escape(each.violations[0])] for each in bad]
        text += f"## Open violations\n\n{table(['seed', 'job', 'place', 'faults', 'violation'], rows)}\n"
    if mended:
        text += (
            "Seeds that had violations, by a bug that was mended or a wrong expectation of the checker, and have none now: "
            f"{', '.join(map(str, mended))}.\n\n"
        )
    if found := journal.read_findings():
        rows = [
            [
                each.bug,
                _escape(f"`{each.only}`" if each.only else ""),
                str(each.cases),
                str(each.seed or ""),
                _escape(each.violation),
            ]
            for each in found
        ]
        text += (
            "## Bugs on purpose\n\n`make faults BUG='no topic is removed'` runs cases on a copy of the code with a bug, with\n"
            "the seeds from 1, until one of them finds it, at most 50. The pattern says which of them were run, if not all.\n\n"
            f"{table(['bug', 'pattern', 'cases', 'seed', 'first violation'], rows)}\n"
        )
    if skipped:
        reasons = Counter(each.skipped for each in skipped)
        text += f"Not run: {'; '.join(f'{number} because {reason}' for reason, number in reasons.items())}.\n"
    RESULTS.write_text(text.rstrip() + "\n", encoding="utf-8")
    return bad


def _count_kinds(ran: Sequence[Record]) -> str:
    """Say how many kinds of faults have struck at a place."""
    every = {(place, re.sub(", (s3|webhdfs)$", "", kind.name)) for place in kinds.JOBS for kind in kinds.list_kinds(place)}
    struck = {
        (each.place, name) for each in ran for name, what in zip(each.faults, each.struck, strict=False) if what is not None
    }
    return f"Of {len(every)} pairs of a fault and a place, {len(every & struck)} have struck a running job so far."


def _rows_of_faults(ran: Sequence[Record]) -> list[list[str]]:
    cases, reached, absorbed, bad = Counter[tuple[str, str]](), Counter[str](), Counter[str](), Counter[str]()
    for record in ran:
        for name in dict.fromkeys(record.faults):
            cases[name, record.place] += 1
            bad[name] += bool(record.violations)
        for number, (name, struck) in enumerate(zip(record.faults, record.struck, strict=False)):
            if struck is not None:
                reached[name] += 1
                absorbed[name] += number < len(record.tries) and record.tries[number] == "succeeded"
    return [
        [name, *(str(cases[name, place] or "") for place in kinds.JOBS), *(str(each[name]) for each in (reached, absorbed, bad))]
        for name in sorted({name for name, _ in cases})
    ]


def _rows_of_jobs(ran: Sequence[Record]) -> list[list[str]]:
    def key(record: Record) -> tuple[str, str, str]:
        return record.job, record.place, record.storage

    def count(what: Callable[[Record], int]) -> Counter[tuple[str, str, str]]:
        found = Counter[tuple[str, str, str]]()
        for record in ran:
            found[key(record)] += what(record)
        return found

    cases, attempts, bad = count(lambda _: 1), count(lambda each: len(each.tries)), count(lambda each: bool(each.violations))
    return [[*each, str(cases[each]), str(attempts[each]), str(bad[each])] for each in sorted(cases)]


def _escape(text: str) -> str:
    """Return a text for a cell of a table."""
    return text.replace("|", "\\|")


def shorten(text: str) -> str:
    """Return the beginning of a text, on one line and without folders of this machine."""
    return _PATH.sub("…/", text).replace("\n", " ")[:300]


def main() -> None:
    """Run a piece of the campaign, or one case."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, nargs="+", help="run these cases, and keep nothing of them")
    parser.add_argument("--count", type=int, default=COUNT, help="how many cases the campaign has, with the seeds from 1")
    parser.add_argument("--minutes", type=float, default=20.0, help="after which no other case begins")
    parser.add_argument("--only", help="run the cases alone in whose description this pattern is found")
    parser.add_argument("--bug", help="run cases on a copy of the code with this bug, until one of them finds it")
    parser.add_argument("--page", action="store_true", help="only write the page from the journal")
    asked = parser.parse_args()
    journal = Journal(JOURNAL)
    if asked.page:
        write_page(journal, asked.count)
        return
    if asked.bug is not None:
        put_bug(asked.bug)
    isolate()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if asked.bug is not None:
        os.chdir(os.environ[_BUG])  # the server of the tries imports from there first
    set_import_path()
    keeper = shared_run.join()
    assert keeper is not None
    found: list[Record] = []
    try:
        with (
            tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name,
            open_campaign(Path(name), LOGS) as campaign,
        ):
            if asked.bug is not None:
                find_bug(campaign, journal, asked.bug, list_seeds(asked.count, asked.only), asked.only)
            elif asked.seed is not None:
                for seed in asked.seed:
                    found.append(campaign.run(Case.of(seed)))
                    print_record(found[-1])
            else:
                run_piece(
                    campaign,
                    journal,
                    list_open_seeds(list_seeds(asked.count, asked.only), journal.read().values()),
                    asked.minutes,
                )
    finally:
        keeper.wait()
        shutil.rmtree(os.environ.get(_BUG, ""), ignore_errors=True)
    if asked.seed is None:
        found = write_page(journal, asked.count)
    bad = [record for record in found if record.violations]
    if bad and asked.bug is None:
        sys.exit(f"violations: seeds {', '.join(str(record.seed) for record in bad)}; logs of tasks are in .work/{LOGS.name}")


if __name__ == "__main__":
    main()
