"""A training as runs on a tracking server: one for the version, and below it one for each fit group.

A run is complete when it has its last tag. A version that was sent before is found by its tag, and is not sent again; what an
interrupted attempt has left of it is deleted first.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from mlsql_runtime import codec
from mlsql_runtime.plan.python_env import hide_passwords
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.curve_files import read_curves
from mlsql_runtime.store.curves import Curves
from mlsql_runtime.store.manifest import FailureRecord, FitRecord, Manifest

ID, SENT, GROUP = "mlsql.id", "mlsql.sent", "mlsql.group"  # tags
_PARENT, _NOTE, _USER, _SOURCE = "mlflow.parentRunId", "mlflow.note.content", "mlflow.user", "mlflow.source.name"
_VALUE, _TAG = 500, 5000  # characters of a parameter and of a tag that every version of MLflow takes
_PARAMS, _METRICS = 100, 1000  # in one request


def send_training(
    client: Any, root: Location, record: Manifest | FailureRecord, experiment: str | None = None, link: str | None = None
) -> str:
    """Send a version that is not on the server yet, and return the ID of its run.

    :param experiment: its name, which is created if there is none; by default the model path.
    :param link: the URL of the task that trained it.
    """
    sent = find_run(client, root, record)
    if sent is not None:
        return sent
    name = experiment or hide_passwords(root.uri)
    found = client.get_experiment_by_name(name)
    experiment_id = client.create_experiment(name) if found is None else found.experiment_id
    for run in client.search_runs([experiment_id], f"tags.`{ID}` = '{make_id(root, record)}'"):
        client.delete_run(run.info.run_id)  # of an attempt that was interrupted
    fits = sorted(record.fits, key=lambda fit: fit.alg_index)
    started = min((fit.started for fit in fits), default=record.created)
    tags = {ID: make_id(root, record), **_describe(root, record, link)}
    title = f"{root.name} version {record.version}"
    parent: str = client.create_run(experiment_id, _millis(started), tags, title).info.run_id
    curves = read_curves(layout.version_dir(root, record.version))
    for fit in fits:
        _send_group(client, experiment_id, parent, fit, curves.get(fit.alg_index, {}), tags)
    if isinstance(record, Manifest):
        _send_params(client, parent, record.options)
        best = record.best
        metrics = {"rows": float(record.data.rows), "validate_rows": float(record.data.validate_rows)}
        if best.score is not None:
            metrics["score"] = best.score
        _send_metrics(client, parent, _values(metrics, record.created))
        client.set_tag(parent, "mlsql.best_group", str(best.alg_index))
    client.set_terminated(parent, "FINISHED" if isinstance(record, Manifest) else "FAILED", _millis(record.created))
    client.set_tag(parent, SENT, "true")
    return parent


def find_run(client: Any, root: Location, record: Manifest | FailureRecord) -> str | None:
    """Return the run of a version that was sent completely, to any experiment."""
    experiments = [each.experiment_id for each in _search_experiments(client)]
    runs = client.search_runs(experiments, f"tags.`{ID}` = '{make_id(root, record)}' and tags.`{SENT}` = 'true'")
    return next((str(run.info.run_id) for run in runs), None)


def find_group_run(client: Any, parent: str, alg_index: int) -> str:
    """Return the run of a fit group below that of its version."""
    experiment_id = client.get_run(parent).info.experiment_id
    [run] = client.search_runs([experiment_id], f"tags.`{_PARENT}` = '{parent}' and tags.`{GROUP}` = '{alg_index}'")
    return str(run.info.run_id)


def _search_experiments(client: Any) -> Iterator[Any]:
    page = client.search_experiments()
    yield from page
    while page.token:
        page = client.search_experiments(page_token=page.token)
        yield from page


def make_id(root: Location, record: Manifest | FailureRecord) -> str:
    """Return the value of the tag by which the runs of a version are found. Two systems may have model paths of one name, and a
    path that was removed may be used again: when and in which job the version was made tells them apart.
    """
    facts = (hide_passwords(root.uri), str(record.version), record.job_id, record.created.isoformat())
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]


def _send_group(client: Any, experiment_id: str, parent: str, fit: FitRecord, curves: Curves, tags: Mapping[str, str]) -> None:
    own = {**tags, _PARENT: parent, GROUP: str(fit.alg_index)}
    if fit.message:
        own["mlsql.message"] = fit.message[:_TAG]
    run: str = client.create_run(experiment_id, _millis(fit.started), own, f"group {fit.alg_index}").info.run_id
    _send_params(client, run, fit.params)
    last = {name: value for name, value in fit.metrics.items() if value is not None and name not in curves}
    score = {} if fit.score is None else {"score": fit.score}
    after = max(curves["score"].steps, default=-1) + 1 if "score" in curves else 0  # MLflow shows the value of the last step
    values = itertools.chain(_values(last, fit.ended), _values(score, fit.ended, after))
    _send_metrics(client, run, itertools.chain(_points(curves, fit), values))
    client.set_terminated(run, "FINISHED" if fit.status == "success" else "FAILED", _millis(fit.ended))


def _describe(root: Location, record: Manifest | FailureRecord, link: str | None) -> dict[str, str]:
    """Return the tags of all runs of a version."""
    path, task = hide_passwords(root.uri), record.task
    tags = {"mlsql.model_path": path, "mlsql.version": str(record.version), "mlsql.job": record.job_id, _USER: "mlsql"}
    if task is not None:
        tags |= {"mlsql.dag_id": task.dag_id, "mlsql.task_id": task.task_id, "mlsql.run_id": task.run_id}
        tags["mlsql.try_number"] = str(task.try_number)
        if task.map_index is not None:
            tags["mlsql.map_index"] = str(task.map_index)
    if isinstance(record, Manifest):
        tags |= {_SOURCE: record.script.name, "mlsql.script_sha256": record.script.sha256}
        if record.sources:
            tags["mlsql.sources"] = codec.dumps(record.sources)[:_TAG]
    else:
        tags["mlsql.message"] = record.message[:_TAG]
    description = record.description if isinstance(record, Manifest) else None
    notes = [description or "", f"[{task.dag_id}.{task.task_id}]({link})" if task is not None and link else "", f"`{path}`"]
    tags[_NOTE] = "\n\n".join(note for note in notes if note)[:_TAG]
    if link:
        tags["mlsql.airflow_url"] = link
    return tags


def _send_params(client: Any, run: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    cleaned = {_clean(name): text[:_VALUE] for name, text in params.items()}
    for part in _parts([Param(name, text) for name, text in cleaned.items()], _PARAMS):
        client.log_batch(run, params=part)


def _send_metrics(client: Any, run: str, metrics: Iterable[Any]) -> None:
    for part in _parts(metrics, _METRICS):
        client.log_batch(run, metrics=part)


def _points(curves: Curves, fit: FitRecord) -> Iterator[Any]:
    """Yield the points of the curves. Their times, which are not kept, are spread between beginning and end of the group."""
    from mlflow.entities import Metric

    start, end = _millis(fit.started), _millis(fit.ended)
    for name, curve in curves.items():
        count = max(len(curve.values) - 1, 1)
        for place, (step, value) in enumerate(zip(curve.steps, curve.values, strict=True)):
            if value is not None:
                yield Metric(_clean(name), value, start + (end - start) * place // count, step)


def _values(metrics: Mapping[str, float], at: datetime, step: int = 0) -> Iterator[Any]:
    from mlflow.entities import Metric

    for name, value in metrics.items():
        yield Metric(_clean(name), value, _millis(at), step)


def _clean(name: str) -> str:
    """Return a name with the letters that MLflow takes."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-. /") else "_" for letter in name)[:250]


def _parts(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while part := list(itertools.islice(rest, size)):
        yield part


def _millis(at: datetime) -> int:
    return round(at.timestamp() * 1000)
