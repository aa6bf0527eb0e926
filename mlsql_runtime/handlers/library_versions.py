"""A warning when a model is loaded with other library versions than those that trained it: pickles may differ between versions.

The driver logs it once; ``scoring/loaded_function.py`` keeps the Python workers from repeating it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING

from mlsql_runtime.events import log

if TYPE_CHECKING:
    from mlsql_runtime.run_context import RunContext

PICKLED = ("scikit-learn", "lightgbm", "xgboost")  # libraries whose models are pickles of their own classes


def warn_of_other_versions(what: str, trained: Mapping[str, str], used: Iterable[Mapping[str, str]]) -> None:
    """Log one line if a version differs on any host.

    :param what: the function or script that loads the model.
    :param trained: the packages that the training script imported, with versions.
    :param used: the packages where the model is loaded, host by host.
    """
    hosts = list(used)
    differences = []
    for name in PICKLED:
        others = {host.get(name, "none") for host in hosts} - {trained.get(name)}
        if name in trained and others:
            differences.append(f"{name} {trained[name]}, but is loaded with {' and '.join(sorted(others))}")
    if differences:
        log(
            f"warning: {what}: its model was trained with {'; '.join(differences)}. "
            "Its predictions may differ, or fail; train it again"
        )


def find_installed_versions(context: RunContext, names: Sequence[str] = PICKLED) -> list[Mapping[str, str]]:
    """Return the versions that Python workers find, for each executor that answers."""
    if context.is_local:
        return [_installed_here(names)]
    spark_context = context.spark.sparkContext
    tasks = max(spark_context.defaultParallelism, 2)
    numbers = spark_context.parallelize(range(tasks), tasks)
    versions: list[Mapping[str, str]] = numbers.map(lambda _: _installed_here(names)).collect()
    return versions


def _installed_here(names: Sequence[str]) -> Mapping[str, str]:
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
