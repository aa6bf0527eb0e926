"""Compare two versions: their scores, scripts, parameters, data and what these were read from, groups and packages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from mlsql_runtime.result import Best
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.project_files import read_project_files
from mlsql_runtime.store.sources import Source
from mlsql_runtime.store.versions import read_manifest

Value = str | int | float | bool | datetime | None
_Facts = Mapping[tuple[str, str], Value]  # what it is about and its name, to its value


@dataclass(frozen=True, kw_only=True)
class ComparedVersion:
    """One of the two versions."""

    version: int
    created: datetime
    job_id: str
    best: Best


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A difference. A value is None where a version has none.

    :param about: ``best``, ``script``, ``parameters``, ``data``, ``signature``, ``columns``, ``packages``, ``group <i>`` or, of a
        source, ``<kind> <table>``.
    """

    about: str
    name: str
    before: Value
    after: Value


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two versions, and all that differs between them.

    ``changed_sources`` are the tables that both were trained from, and of which the stored data have changed between them.
    """

    model_path: str
    before: ComparedVersion
    after: ComparedVersion
    differences: tuple[Difference, ...]
    changed_sources: tuple[str, ...]


def compare_versions(root: Location, before: int, after: int) -> Comparison:
    """Compare two complete versions, the one that is called the earlier first.

    :raises VersionNotFound: naming the versions that exist.
    """
    manifests = read_manifest(root, before), read_manifest(root, after)
    old, new = (dict(_facts(manifest)) for manifest in manifests)
    if manifests[0].script.sha256 != manifests[1].script.sha256:
        files = [read_project_files(root, manifest) for manifest in manifests]
        if files[0] is not None and files[1] is not None:
            old, new = old | dict(_file_facts(files[0])), new | dict(_file_facts(files[1]))
    return Comparison(
        model_path=root.uri,
        before=_compared(manifests[0]),
        after=_compared(manifests[1]),
        differences=tuple(_differences(old, new)),
        changed_sources=tuple(_changed_sources(*manifests)),
    )


def _compared(manifest: Manifest) -> ComparedVersion:
    return ComparedVersion(version=manifest.version, created=manifest.created, job_id=manifest.job_id, best=manifest.best)


def _differences(old: _Facts, new: _Facts) -> Iterator[Difference]:
    """Yield the differences grouped by ``about``, also those of facts that only the new version has."""
    order = list(dict.fromkeys(about for about, _ in (*old, *new)))
    for key in sorted(dict.fromkeys((*old, *new)), key=lambda key: order.index(key[0])):
        if old.get(key) != new.get(key):
            yield Difference(about=key[0], name=key[1], before=old.get(key), after=new.get(key))


def _changed_sources(before: Manifest, after: Manifest) -> Iterator[str]:
    known = _name_sources(before)
    for name, source in _name_sources(after).items():
        if name in known and source.data_facts and known[name].data_facts not in ({}, source.data_facts):
            yield source.table


def _name_sources(manifest: Manifest) -> dict[str, Source]:
    """Return the sources by kind and table; a job may define several tables of one name."""
    found: dict[str, Source] = {}
    for source in manifest.sources:
        name, number = f"{source.kind} {source.table}", 1
        while name in found:
            number += 1
            name = f"{source.kind} {source.table} ({number})"
        found[name] = source
    return found


def _facts(manifest: Manifest) -> Iterator[tuple[tuple[str, str], Value]]:
    best, data = manifest.best, manifest.data
    yield ("best", "group"), best.alg_index
    yield ("best", "score"), best.score
    yield ("best", "greater is better"), manifest.greater_is_better
    yield ("script", "name"), manifest.script.name
    yield ("script", "SHA-256"), manifest.script.sha256
    yield from _each("parameters", manifest.parameters)
    yield ("data", "rows"), data.rows
    yield ("data", "rows to validate"), data.validate_rows
    yield ("data", "feature column"), data.feature_column
    yield ("data", "feature width"), data.feature_width
    yield from _each("signature", {} if manifest.signature is None else manifest.signature.facts)
    for about, source in _name_sources(manifest).items():
        for name, value in source.facts.items():
            yield (about, name), value
    yield from _each("columns", data.columns)
    for fit in manifest.fits:
        group = f"group {fit.alg_index}"
        yield (group, "status"), fit.status
        yield (group, "score"), fit.score
        yield from _each(group, fit.params, "parameter ")
        yield from _each(group, fit.metrics, "metric ")
    yield from _each("packages", _imported(manifest))


def _file_facts(files: Mapping[str, bytes]) -> Iterator[tuple[tuple[str, str], Value]]:
    for name, content in files.items():
        yield ("script", f"SHA-256 of {name}"), hashlib.sha256(content).hexdigest()


def _each(about: str, values: Mapping[str, Value], kind: str = "") -> Iterator[tuple[tuple[str, str], Value]]:
    for name, value in sorted(values.items()):
        yield (about, f"{kind}{name}"), value


def _imported(manifest: Manifest) -> Mapping[str, str]:
    """Return the packages that any group imported. Groups on different hosts may have different versions: all are named."""
    found: dict[str, set[str]] = {}
    for fit in manifest.fits:
        for name, version in fit.packages.items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}
