"""How long the API server needs for the pages of a model with 1,000 versions: what it reads from storage, and the HTML.

``make bench`` runs it and writes ``benchmarks/results/pages.md``. The model path is on the local disk; on remote storage, reading
takes as long as the requests, of which 16 are under way at once.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import interleaved, machine, table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.registrations import refuse, register  # noqa: E402
from support.stores import publish  # noqa: E402

from mlsql_runtime.storage.location import Location  # noqa: E402
from mlsql_runtime.store.curve_files import encode_curves  # noqa: E402
from mlsql_runtime.store.curves import CurveRecorder, thin_groups  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "pages.md"
VERSIONS = 1000
MODELS = 50
GROUPS = 8
REPORTS = 100_000
LIMIT = 0.3  # seconds


def main() -> int:
    """Measure, write the results, and return 1 if a page that is opened again takes longer than the limit."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AIRFLOW_HOME"] = folder
        found = {name: timed.median for name, timed in interleaved(make_ways(Path(folder) / "models")).items()}
    rows = [[name, f"{1000 * seconds:.0f}"] for name, seconds in found.items()]
    text = (
        "# Pages in Airflow's UI\n\n"
        f"The time to read and to render a page, in milliseconds, median of 5 rounds. {VERSIONS:,} versions of a model with\n"
        f"{GROUPS} fit groups, a function with 100 refusals, curves of {REPORTS:,} reports in each group; {MODELS} models in the "
        "list. A page\nreads documents of versions that have ended once.\n\n"
        + table(["page", "ms"], rows)
        + f"\n{machine('apache-airflow', 'jinja2')}\n"
    )
    RESULTS.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return int(any(seconds > LIMIT for name, seconds in found.items() if "first" not in name))


def make_ways(folder: Path) -> dict[str, Callable[[object], object]]:
    """Write the models, and return what is measured."""
    from airflow_provider_mlsql.pages.html import render_page
    from airflow_provider_mlsql.pages.lookup import look_up
    from airflow_provider_mlsql.pages.model_list import ModelReader
    from airflow_provider_mlsql.xcom_versions import ModelVersion
    from mlsql_runtime.store.overview import VersionCache

    root = str(folder / "spam")
    for number in range(VERSIONS):
        publish(root, *(0.9 + 0.01 * math.sin(number + group) for group in range(GROUPS)), metrics={"loss": 0.1}, created=number)
    register(Location.of(root), "jack", VERSIONS - 200)
    for number in range(100):
        refuse(Location.of(root), "jack", VERSIONS - number)
    recorder = CurveRecorder()
    for step in range(REPORTS):
        recorder.add(step, {"loss": math.exp(-step / REPORTS), "accuracy": 1 - math.exp(-step / REPORTS)})
    curves = thin_groups({str(group): recorder.curves for group in range(GROUPS)})
    (Location.of(root) / f"_model_{VERSIONS}/curves.json").write(encode_curves(curves))
    others = [str(folder / f"other{number}") for number in range(MODELS)]
    for other in others:
        for _ in range(30):
            publish(other, 0.5)
    warm = ModelReader(VersionCache())

    def render_model(reader: ModelReader, versions: int) -> str:
        view = reader.read(root, versions)
        chart = view.make_chart(None, is_time=False)
        values = {"metric": None, "x": "version", "versions": versions, "most": VERSIONS}
        return render_page("model.html", view=view, chart=chart, **values)

    def render_version() -> str:
        return render_page("version.html", task=None, found=[look_up(ModelVersion(root, VERSIONS), against=1)])

    def render_list(reader: ModelReader) -> str:
        return render_page("models.html", entries=reader.read_all(others), page=1, pages=1, count=MODELS, wanted="")

    return {
        "model, the newest 100 versions, opened first": lambda _: render_model(ModelReader(VersionCache()), 100),
        "model, the newest 100 versions": lambda _: render_model(warm, 100),
        f"model, all {VERSIONS:,} versions, opened first": lambda _: render_model(ModelReader(VersionCache()), VERSIONS),
        f"model, all {VERSIONS:,} versions": lambda _: render_model(warm, VERSIONS),
        "version, with curves and a comparison": lambda _: render_version(),
        f"list of {MODELS} models, opened first": lambda _: render_list(ModelReader(VersionCache())),
        f"list of {MODELS} models": lambda _: render_list(warm),
    }


if __name__ == "__main__":
    sys.exit(main())
