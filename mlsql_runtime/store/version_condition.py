"""The conditions under which a sensor or trigger accepts a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mlsql_runtime.store.manifest import FailureRecord, Manifest

LowScoreAction = Literal["wait", "skip", "fail"]


@dataclass(frozen=True, kw_only=True)
class VersionCondition:
    """The version that a task waits for; all conditions given must hold. With none, any complete version will do.

    :param run_id: the DAG run that trained the version; ``external_dag_id`` is its DAG.
    :param min_score: compared with the version's score, or with ``metric`` of its best group. The best group is the one with
        the best score, whatever the metric says.
    :param greater_is_better: the direction of the metric; by default that of the version's score.
    """

    min_version: int | None = None
    published_after: datetime | None = None
    job_id: str | None = None
    external_dag_id: str | None = None
    run_id: str | None = None
    min_score: float | None = None
    metric: str | None = None
    greater_is_better: bool | None = None
    on_low_score: LowScoreAction = "wait"

    @property
    def names_a_training(self) -> bool:
        """Whether a failure record that matches is the failure of the awaited training, and not an old one."""
        return any(given is not None for given in (self.min_version, self.published_after, self.job_id, self.run_id))

    def matches(self, record: Manifest | FailureRecord) -> bool:
        task = record.task
        return (
            (self.min_version is None or record.version >= self.min_version)
            and (self.published_after is None or record.created > self.published_after)
            and self.job_id in (None, record.job_id)
            and self.external_dag_id in (None, task and task.dag_id)
            and self.run_id in (None, task and task.run_id)
        )

    def is_good(self, manifest: Manifest) -> bool:
        if self.min_score is None:
            return True
        value = self._value(manifest)
        if value is None:
            return False
        return value >= self.min_score if self._is_greater_better(manifest) else value <= self.min_score

    def explain_shortfall(self, manifest: Manifest, model_path: str) -> str:
        """Return why the version is not good enough."""
        bound = "at least" if self._is_greater_better(manifest) else "at most"
        measured = f"{self.metric or 'score'} {self._value(manifest)}"
        if self.metric is not None and self.metric not in (metrics := _best_metrics(manifest)):
            measured = f"no metric '{self.metric}' in its best group (it has {', '.join(sorted(metrics)) or 'none'})"
        return f"version {manifest.version} of {model_path} has {measured}, and {bound} {self.min_score} is asked for"

    def _is_greater_better(self, manifest: Manifest) -> bool:
        if self.metric is None or self.greater_is_better is None:
            return manifest.greater_is_better
        return self.greater_is_better

    def _value(self, manifest: Manifest) -> float | None:
        return manifest.best.score if self.metric is None else _best_metrics(manifest).get(self.metric)


def _best_metrics(manifest: Manifest) -> Mapping[str, float | None]:
    best = manifest.fit(manifest.best.alg_index)
    return {} if best is None else best.metrics
