"""The packages that made a model, compared with those of the process that cannot load it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from mlsql_runtime.script.current_job import current_job
from mlsql_runtime.script.interpreter import WELL_KNOWN_PACKAGES

_MANIFEST = "manifest.json"  # as in store/layout.py, which needs fsspec; a script's interpreter may not have it


def find_model_packages(directory: str) -> Mapping[str, str]:
    """Return the packages of the training script that left a model: of the job, or of the manifest above the model's folder.

    Without either it is empty.
    """
    job = current_job()
    if job is not None and job.model_packages:
        return job.model_packages
    place = Path(directory).resolve()
    try:
        document = json.loads((place.parent.parent / _MANIFEST).read_text(encoding="utf-8"))
        fits: list[Any] = document["fits"]
        found = next(fit["packages"] for fit in fits if str(fit["alg_index"]) == place.name)
        return {str(name): str(version) for name, version in found.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration, RecursionError):
        return {}


def describe_other_packages(trained: Mapping[str, str]) -> str:
    """Return how well-known packages and Python differ here, as the end of an error message; empty if none does.

    :param trained: the packages that made the model, with versions.
    """
    versions = {name: (trained[name], _version_here(name)) for name in ("python", *WELL_KNOWN_PACKAGES) if name in trained}
    others = {name: pair for name, pair in versions.items() if pair[0] != pair[1]}
    if not others:
        return ""
    theirs = ", ".join(f"{name} {version}" for name, (version, _) in others.items())
    ours = ", ".join(f"{name} {version or 'is missing'}" for name, (_, version) in others.items())
    return f"; the model was trained with {theirs}, and here {ours}: install the same versions, or train it again"


def _version_here(name: str) -> str | None:
    if name == "python":
        return platform.python_version()
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
