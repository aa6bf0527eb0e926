"""Whether a model is used with the versions of the packages that made it: pickled models promise nothing between versions.

Told once, by the driver; each Python worker would tell it again (``scoring/function_loader.py`` keeps them quiet).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING

from mlsql_runtime.events import log

if TYPE_CHECKING:
    from mlsql_runtime.run_context import RunContext

PICKLED = ("scikit-learn", "lightgbm", "xgboost")  # whose models are pickles of their own classes


def tell_other_versions(what: str, trained: Mapping[str, str], used: Iterable[Mapping[str, str]]) -> None:
    """One line in the task log, if a version differs somewhere.

    :param what: whose model it is.
    :param trained: the packages that the training script imported.
    :param used: those that are installed where the model is loaded, host by host.
    """
    hosts = list(used)
    told = []
    for name in PICKLED:
        others = {host.get(name, "none") for host in hosts} - {trained.get(name)}
        if name in trained and others:
            told.append(f"{name} {trained[name]}, and {' and '.join(sorted(others))} is installed where it is used")
    if told:
        log(f"warning: {what}: its model was trained with {'; '.join(told)}; it may answer otherwise, or fail: train it anew")


def installed(context: RunContext, names: Sequence[str] = PICKLED) -> list[Mapping[str, str]]:
    """The versions that Python workers find, of each executor that answers."""
    if context.is_local:
        return [_here(names)]
    spark_context = context.spark.sparkContext
    tasks = max(spark_context.defaultParallelism, 2)
    found: list[Mapping[str, str]] = (
        spark_context.parallelize(range(tasks), tasks).mapPartitions(lambda _: _each(names)).collect()
    )
    return found


def _each(names: Sequence[str]) -> Iterator[Mapping[str, str]]:
    yield _here(names)


def _here(names: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
