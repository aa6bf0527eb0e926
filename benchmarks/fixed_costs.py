"""Fixed costs: importing and parsing, a task's start, statements, looks into the store, however small the work.

``make bench`` runs it and writes ``benchmarks/results/fixed_costs.md``; ``fixed_costs.py store start`` measures those parts anew.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fixed import chain, imports, start, statements, store
from measure import ROUNDS, Timed, machine, table

RESULTS = Path(__file__).parent / "results" / "fixed_costs.md"
IMPORT_GOAL = 1.10  # of importing airflow.sdk alone
SLOPE_GOAL = 0.1  # milliseconds for each version more, on a disk
START_GOAL = 0.7  # of the plain application
CHAIN_GOAL = 0.6  # of the same jobs, each with all of Spark
PER_LISTING = 1000  # files that one request to S3 lists


def _verdict(reached: bool) -> str:
    return "reached" if reached else "**not reached**"


def _spread(values: Sequence[float], unit: float = 1.0, digits: int = 2) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle * unit:,.{digits}f} ({low * unit:,.{digits}f} to {high * unit:,.{digits}f})"


def _ms(timed: Timed) -> str:
    return _spread(timed.seconds, 1000)


def import_page() -> str:
    """Measure the import of operators beside ``airflow.sdk``, and DAG files beside plain ones."""
    taken, split = imports.imports()
    alone, ours = taken.values()
    ratios = [more / less for more, less in zip(ours.seconds, alone.seconds, strict=True)]
    rows = [[name, _spread(timed.seconds)] for name, timed in taken.items()]
    own = ", ".join(f"`{name}` {split[name]:.0f} ms" for name in ("airflow_provider_mlsql", "mlsql_runtime"))
    first, again = imports.parse(ROUNDS)
    parsed = [["all files, the first time", *map(_ms, first.values())]]
    parsed += [[name, *map(_ms, ways.values())] for name, ways in again.items()]
    return f"""## Importing and parsing

Processes that only import, in seconds: the ratio is {_spread(ratios)}, the goal {IMPORT_GOAL:.2f} at most:
{_verdict(statistics.median(ratios) <= IMPORT_GOAL)}. By `-X importtime` our own modules take {own}.

{table(["import", "seconds"], rows)}
The example DAGs beside DAGs of as many `SparkSubmitOperator` tasks, in milliseconds: all files in a process that has imported
`airflow.sdk` and that operator, so with whatever else they import; then each once more. The number of tasks is in brackets.

{table(["DAG", *first], parsed)}"""


def start_page() -> str:
    """Measure the time from a task's start to the first line of the script."""
    taken = start.measure(ROUNDS)
    rows = [
        [f"{part}: {what}", *(_spread([each[part] for each in taken[way]]) for way in start.WAYS)]
        for part, what in {**start.PARTS, **start.SUMS}.items()
    ]
    ours, plain = (taken[way] for way in start.WAYS)

    def ratio(parts: Sequence[str]) -> list[float]:
        sums = [[sum(each[part] for part in parts) for each in rounds] for rounds in (ours, plain)]
        return [own / other for own, other in zip(*sums, strict=True)]

    def longer(part: str) -> float:
        return statistics.median(own[part] - other[part] for own, other in zip(ours, plain, strict=True))

    all_parts, java = ratio(["first line"]), ratio(start.OF_JAVA)
    names = ", ".join(start.OF_JAVA)
    rest = ", ".join(f"{part} {longer(part):.2f}" for part in start.PARTS if part not in start.OF_JAVA)
    return f"""## From a task's start to the first line of its script

A training of one group, as the hook submits it, on `{start.MASTER}`, with the files of `mlsql share-classes`; beside it
`spark-submit` of a PySpark application that does the least, without them: a session, the same table written as JSON, one task
that runs the same script as a child. Seconds, cold processes. The ratio of the first lines is {_spread(all_parts)}, the goal
{START_GOAL:.2f} at most: {_verdict(statistics.median(all_parts) <= START_GOAL)}.
Of Java's parts ({names}) it is {_spread(java)}. What takes us longer, in seconds: {rest}.

{table(["part", "MLSQL", "plain PySpark"], rows)}"""


def chain_page() -> str:
    """Measure the three tasks of a small DAG."""
    taken = chain.measure(ROUNDS)
    sums = {way: [sum(each.values()) for each in rounds] for way, rounds in taken.items()}
    rows = [[task, *(_spread([each[task] for each in rounds]) for rounds in taken.values())] for task in chain.TASKS]
    rows.append(["all three", *map(_spread, sums.values())])
    ratios = [now / before for now, before in zip(*sums.values(), strict=True)]
    return f"""## A small DAG

Train, register and predict 100 rows, a job for each, on `{start.MASTER}`. Now: with the files of `mlsql share-classes`, and no
Spark to register; beside it the same jobs with neither. Seconds. The ratio is {_spread(ratios)}, the goal
{CHAIN_GOAL:.2f} at most: {_verdict(statistics.median(ratios) <= CHAIN_GOAL)}.

{table(["task", *taken], rows)}"""


def statement_page() -> str:
    """Measure register and select statements."""
    taken = statements.measure(ROUNDS)
    rows = [[part, _spread([each[part] for each in taken])] for part in taken[0]]
    return f"""## Statements

Seconds of statements in an application that has trained a model already; 100 rows, a script and a function that do nothing.

{table(["statement", "seconds"], rows)}"""


def _slope(taken: Mapping[str, Mapping[str, Timed]], look: str) -> float:
    """Return milliseconds for each additional version."""
    few, many = store.VERSIONS[0], store.VERSIONS[-1]
    return (taken[f"{many:,}"][look].median - taken[f"{few:,}"][look].median) * 1000 / (many - few)


def store_page() -> str:
    """Measure reads of a model path, on a disk and on S3."""
    taken, sent = store.on_disk(), store.on_s3()
    counts, sizes = [f"{count:,}" for count in store.VERSIONS], list(store.SIZES)
    looks = [*store.LOOKS, store.AGAIN]
    heads = [f"{each} version{'' if each == '1' else 's'}" for each in counts]
    disk = [[look, *(_ms(taken[each][look]) for each in counts), f"{_slope(taken, look) * 1000:.1f}"] for look in looks]
    alike = [look for look in looks if look not in store.OF_FILES]
    by_size = [[look, *(_ms(taken[each][look]) for each in sizes)] for look in alike]
    is_flat = all(min(taken[sizes[-1]][look].seconds) <= max(taken[sizes[0]][look].seconds) for look in alike)
    worst = max(_slope(taken, look) for look in looks)
    requests = [[look, *(str(sent[each][look]) for each in counts)] for look in store.LOOKS]
    files = len(store.OTHERS) + 2
    return f"""## The model store

Milliseconds on a local disk, by number of versions in the path. The goal is {SLOPE_GOAL:g} ms at most for each version more; the
steepest has {worst:.3f}: {_verdict(worst <= SLOPE_GOAL)}.

{table(["look", *heads, "slope, µs per version"], disk)}
By size of the models of a hundred versions. The goal is that it does not matter, that the rounds of large ones begin where those
of small ones end at the latest: {_verdict(is_flat)}.

{table(["look", *(f"models of {size}" for size in sizes)], by_size)}
Requests to S3 (moto), by number of versions of {files} files each. A listing gives {PER_LISTING:,} names for a request.

{table(["look", *heads], requests)}"""


PAGES: Mapping[str, Callable[[], str]] = {
    "imports": import_page,
    "store": store_page,
    "start": start_page,
    "chain": chain_page,
    "statements": statement_page,
}


def _sections(page: str) -> dict[str, str]:
    """Return the parts of a page by their titles; the text before the first title has none."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    return {part.partition("\n")[0] if number else "": part.strip() for number, part in enumerate(parts)}


def main(parts: Sequence[str]) -> None:
    """Measure, print, and write the results, of the named parts or of all."""
    head = f"""# Fixed costs

{machine("apache-airflow", "pyspark", "fsspec", "s3fs", "numpy", "pyarrow")}.
Medians (lowest to highest) of {ROUNDS} rounds after a warm-up, of imports of {imports.ROUNDS}. `make bench` makes this page.
"""
    page = _sections(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    page[""] = head.strip()
    for part in parts or PAGES:
        measured = f"{PAGES[part]()}\nLoad average {os.getloadavg()[0]:.1f} at the end."
        page |= {title: text for title, text in _sections(measured).items() if title}
        print(measured)
        RESULTS.write_text("\n\n".join(page.values()) + "\n", encoding="utf-8")  # the next part may fail


if __name__ == "__main__":
    main(sys.argv[1:])
