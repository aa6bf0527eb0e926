"""The results as a page of Markdown, and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import Timed, shown, table

from scorers import ours, peers
from scorers.cases import BAYES, CORES, FOREST, LOGISTIC, NARROW, SPARSE_FOREST, Case
from scorers.in_memory import IN_MEMORY
from scorers.split import Split

ORIGINAL = "the original's row protocol"
RELOADING = f"{ORIGINAL}, model reloaded for each row"
ORIGINAL_ALONE = f"{ORIGINAL}, no model"
LEAST = 1000  # rows in a second, where the plot begins


@dataclass(frozen=True)
class Measured:
    """Of a case: seconds for each row, by way, and how many rows each way scored."""

    case: Case
    took: Mapping[str, Timed]
    rows: Mapping[str, int]
    split: Split

    def fastest(self, peer: str) -> str:
        """Return the name of a way: ``peer`` itself, or the fastest of its kinds, as in "MLflow spark_udf, array"."""
        kinds = [peer] if peer in self.took else [name for name in self.took if name.startswith(f"{peer}, ")]
        return min(kinds, key=lambda name: self.took[name].median)


@dataclass(frozen=True)
class Goal:
    """How many times as fast as a peer we want to be."""

    case: Case
    way: str
    peer: str
    at_least: float


GOALS = (
    Goal(BAYES, ours.BATCH, peers.MLFLOW, 4),
    Goal(LOGISTIC, ours.BATCH, peers.MLFLOW, 1.4),
    *(Goal(case, ours.BATCH, peers.NOTHING, 0.85) for case in (BAYES, LOGISTIC, NARROW, FOREST, SPARSE_FOREST)),
    Goal(FOREST, ours.BATCH, IN_MEMORY, 0.85),
    Goal(SPARSE_FOREST, ours.BATCH, IN_MEMORY, 0.85),
    *(Goal(case, ours.ROW, ORIGINAL, 2) for case in (BAYES, LOGISTIC, NARROW)),
)


def goals(measured: Sequence[Measured]) -> str:
    """Return a line for each goal and, for each that was not reached, the times of the split."""
    known = {each.case: each for each in measured}
    lines, reasons = [], []
    for goal in GOALS:
        here = known.get(goal.case)
        if here is None:
            continue
        peer = here.fastest(goal.peer)
        ratio = here.took[goal.way].ratio(here.took[peer])
        is_reached = ratio[0] >= goal.at_least
        lines.append(
            [goal.case.name, goal.way, peer, f"{goal.at_least:g}x", shown(ratio), "reached" if is_reached else "not reached"]
        )
        if not is_reached:
            reasons.append(f"- {goal.case.name}, {goal.way} against {peer}: {_reason(here, goal.way, peer)}")
    text = table(["case", "who", "against", "goal", "measured", ""], lines)
    return text + ("\nWhy not, in microseconds of a core for a row:\n\n" + "\n".join(reasons) + "\n" if reasons else "")


def _reason(here: Measured, way: str, peer: str) -> str:
    split, nothing = here.split, _core(here.took[peers.NOTHING])
    own, other = _core(here.took[way]), _core(here.took[peer])
    if way == ours.ROW:
        return (
            f"{own:.0f} against {other:.0f}. One call of the model's own `predict` with one row takes {_micro(split.alone):.0f}, "
            f"which is in both; the protocols without a model take {_core(here.took[ours.ROW_ALONE]):.0f} and "
            f"{_core(here.took[ORIGINAL_ALONE]):.0f}: {shown(here.took[ours.ROW_ALONE].ratio(here.took[ORIGINAL_ALONE]))}."
        )
    return (
        f"{own:.2f} against {other:.2f}. Spark takes {nothing:.2f} to bring a row to Python and an answer back; the model's "
        f"`predict` alone takes {_micro(split.predict):.2f}, what we do around it {_micro(split.around):.2f}."
    )


def where(measured: Sequence[Measured]) -> str:
    """Return the time of a row, step by step."""
    lines = []
    for each in measured:
        split = each.split
        lines.append(
            [
                each.case.name,
                f"{_core(each.took[ours.BATCH]):.2f}",
                f"{_core(each.took[peers.NOTHING]):.2f}",
                *(f"{_micro(step):.3f}" for step in (split.check, split.decode, split.predict, split.encode)),
            ]
        )
    return table(["case", ours.BATCH, peers.NOTHING, "widths", "decode", "predict", "encode"], lines)


def ways(measured: Measured) -> str:
    """Return a line for each way, the fastest first."""
    batch = measured.took[ours.BATCH]
    lines = [
        [
            name,
            f"{measured.rows[name]:,}",
            f"{1 / took.median:,.0f}",
            f"{took.median * 1e6:.2f}",
            "" if name == ours.BATCH else shown(batch.ratio(took)),
        ]
        for name, took in sorted(measured.took.items(), key=lambda item: item[1].median)
    ]
    return f"## {measured.case.name}\n\n" + table(["way", "rows", "rows/s", "µs for a row", f"{ours.BATCH}, to it"], lines)


def growth(case: Case, took: Mapping[int, tuple[Timed, Timed]]) -> str:
    """By number of rows, seconds for each of them: ours, and the function that does nothing."""
    lines = [
        [f"{rows:,}", f"{own.median * rows * 1e3:,.0f}", f"{_micro(own.median):.2f}", f"{_micro(nothing.median):.2f}"]
        for rows, (own, nothing) in took.items()
    ]
    header = ["rows", "ms", "µs for a row", f"µs for a row, {peers.NOTHING}"]
    return f"### {case.name}\n\n" + table(header, lines)


def plot(measured: Sequence[Measured], target: Path) -> None:
    """Rows in a second by way, a panel for each case."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    heights = [len(each.took) + 2 for each in measured]
    figure, panels = plt.subplots(
        len(measured), 1, figsize=(8, 0.2 * sum(heights)), height_ratios=heights, layout="constrained", squeeze=False
    )
    for each, panel in zip(measured, panels[:, 0], strict=True):
        names = sorted(each.took, key=lambda name: each.took[name].median, reverse=True)
        rates = [1 / each.took[name].median for name in names]
        colours = ["#c44e52" if name in (ours.BATCH, ours.ROW, ours.ROW_ALONE) else "#8c9eb5" for name in names]
        panel.barh(names, rates, color=colours)
        panel.set_xscale("log")
        panel.set_xlim(LEAST, max(rates) * 6)
        panel.set_title(f"{each.case.name}: rows/s", fontsize=9, loc="left")
        panel.tick_params(labelsize=7)
        panel.bar_label(panel.containers[0], labels=[f" {rate:,.0f}" for rate in rates], fontsize=7)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=80, pil_kwargs={"optimize": True})
    plt.close(figure)


def _micro(seconds: float) -> float:
    return seconds * 1e6


def _core(took: Timed) -> float:
    """Microseconds of one core, since all cores are at work."""
    return took.median * CORES * 1e6
