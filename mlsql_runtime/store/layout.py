"""The layout of a model path. Names begin with ``_`` so that Spark's readers skip them.

::

    <model path>/_model_<n>/claim.json          the number n is taken by this job
                           /model/<algIndex>/   the files that the script wrote to tempModelLocalPath
                           /meta/…              parquet: one row per group, parameters, sample rows
                           /logs/<algIndex>.log
                           /curves.json         the metrics that the groups reported, by step
                           /project.zip         the script that trained the version, with its project
                           /manifest.json       last: with it, version n is complete
                           /failure.json        instead of the manifest: the training failed
    <model path>/_functions/<name>/<m>/…        function packages; function.json last
                           /current.json        the pointer: the package that the name points to
                           /refusals.json       the registrations that were refused
    <model path>/_staging/<job>-<random>/…      exchange between driver and executors, removed at the end of the job
                           /claim.json          its attempt is the latest of the job
                           /progress.json       the groups have their data: with it, the next attempt may resume from here
                           /data/…              the training table that Spark has copied for scripts, or instead
                           /data-files.json     the list of the files of a stored table, which scripts read where they are
                           /fit-<i>-<attempt>/finished.json    last: the group's output is complete
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlsql_runtime.storage.location import Location

MANIFEST = "manifest.json"
FAILURE = "failure.json"
CLAIM = "claim.json"
CURVES = "curves.json"
FUNCTIONS = "_functions"
FUNCTION = "function.json"
FUNCTION_PICKLE = "function.pickle"
CURRENT = "current.json"
REFUSALS = "refusals.json"
STAGING = "_staging"
PROGRESS = "progress.json"
FINISHED = "finished.json"
SAMPLES = "meta/samples.parquet"
PROJECT = "project.zip"
IMPORTED_PICKLE, IMPORTED_JOBLIB = "model.pickle", "model.joblib"  # in the folder of a group's model, as mlsql_model has them

_VERSION = re.compile(r"_model_(\d+)")


def version_dir(root: Location, version: int) -> Location:
    """Return the folder of a version."""
    return root / f"_model_{version}"


def version_file(version: int, name: str) -> str:
    """Return the path of a file in a version's folder, relative to the model path."""
    return f"_model_{version}/{name}"


def model_dir(alg_index: int) -> str:
    """Return the folder of a fit group's model, relative to the version's folder."""
    return f"model/{alg_index}"


def log_file(alg_index: int) -> str:
    """Return the path of a fit group's log, relative to the version's folder."""
    return f"logs/{alg_index}.log"


def list_claimed_versions(root: Location) -> list[int]:
    """List all version numbers that were ever claimed, oldest first, complete or not: one listing."""
    return parse_version_numbers(root.list_names())


def parse_version_numbers(names: Iterable[str]) -> list[int]:
    """Return the numbers of the version folders among names, smallest first."""
    return sorted(int(match[1]) for name in names if (match := _VERSION.fullmatch(name)))


def list_numbered(folder: Location) -> list[int]:
    """List the subfolders named by a number, smallest first."""
    return sorted(int(name) for name in folder.list_names() if name.isdecimal())
