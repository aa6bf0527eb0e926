"""Time several ways of doing the same in interleaved rounds, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

ROUNDS = 5


@dataclass(frozen=True)
class Timed:
    """Seconds of each round, without the warm-up."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __add__(self, other: Timed) -> Timed:
        """Return the sum of both, round by round."""
        return Timed(tuple(one + two for one, two in zip(self.seconds, other.seconds, strict=True)))

    def per(self, count: int) -> Timed:
        """Return the time of one of ``count``."""
        return Timed(tuple(each / count for each in self.seconds))

    def ratio(self, peer: Timed) -> tuple[float, float, float]:
        """Return how many times as fast as ``peer`` it is, round by round: (median, lowest, highest)."""
        ratios = [other / own for own, other in zip(self.seconds, peer.seconds, strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)


def interleaved(
    ways: Mapping[str, Callable[[Any], object]], prepare: Callable[[], Any] = lambda: None, rounds: int = ROUNDS
) -> dict[str, Timed]:
    """Run every way once in each round, after one round of warm-up. ``prepare``, called before each run, is not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            prepared = prepare()
            begun = time.perf_counter()
            way(prepared)
            if number:
                seconds[name].append(time.perf_counter() - begun)
    return {name: Timed(tuple(each)) for name, each in seconds.items()}


def shown(ratio: tuple[float, float, float]) -> str:
    """Return a ratio as tables show it."""
    middle, low, high = ratio
    return f"{middle:.2f}x ({low:.2f} to {high:.2f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def machine(*packages: str) -> str:
    """Return the machine and the versions that the figures were measured with."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {versions}"
