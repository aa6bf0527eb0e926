"""Triggers that wait for model versions: one for the deferrable sensor, one for assets."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from airflow_provider_mlsql.triggers.conditions import parse_conditions, parse_interval, parse_time, refuse_password
from airflow_provider_mlsql.triggers.polling import Poller, polling
from mlsql_runtime import codec
from mlsql_runtime.errors import InputError, MLSQLError
from mlsql_runtime.result import to_xcom
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.version_watch import Answer, Checkpoint, NewVersions, VersionWatch, failure

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

ATTEMPTS = 3  # looks in a row that storage has to fail before those who wait hear of it
FIRST_LOOK = 60.0  # seconds that the first look may take, whatever the deadline: a version that is there is worth more


class MLSQLModelTrigger(BaseTrigger):
    """Wait for a complete version, once: fires what :class:`MLSQLModelSensor` answers or fails with, and ends.

    All triggers of a triggerer that wait in one model path share one listing per poll interval, the shortest of theirs. An
    error of the storage is fired when three looks in a row have met it; one that cannot be helped by a retry, at once.

    :param model_path: path or URI of the model; it need not exist yet.
    :param poke_interval: seconds between two looks.
    :param deadline: when to give up, as ISO 8601 text; it looks once in any case, if storage answers within a minute.

    The other arguments are those of :class:`MLSQLModelSensor`.
    """

    def __init__(
        self,
        *,
        model_path: str,
        poke_interval: float = 60.0,
        deadline: str | None = None,
        min_version: int | None = None,
        published_after: datetime | str | None = None,
        job_id: str | None = None,
        external_dag_id: str | None = None,
        run_id: str | None = None,
        min_score: float | None = None,
        metric: str | None = None,
        greater_is_better: bool | None = None,
        on_low_score: str = "wait",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        refuse_password(model_path)
        self.model_path = model_path
        self.poke_interval = parse_interval(poke_interval)
        limit = parse_time(deadline, "deadline")
        self.deadline = None if limit is None else limit.isoformat()
        self.condition = parse_conditions(
            {
                "min_version": min_version,
                "published_after": published_after,
                "job_id": job_id,
                "external_dag_id": external_dag_id,
                "run_id": run_id,
                "min_score": min_score,
                "metric": metric,
                "greater_is_better": greater_is_better,
                "on_low_score": on_low_score,
            }
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        own = {"model_path": self.model_path, "poke_interval": self.poke_interval, "deadline": self.deadline}
        return f"{__name__}.{type(self).__name__}", own | codec.encode(self.condition)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            async with polling(self.model_path, self.poke_interval) as poller:
                answer = await self._wait(poller)
        except MLSQLError as error:  # the path cannot be opened
            answer = failure(error)
        yield TriggerEvent(answer)  # type: ignore[no-untyped-call]

    async def _wait(self, poller: Poller) -> Answer:
        said: str | None = None
        failures = 0
        answer: Answer | MLSQLError | None = None
        while True:
            try:
                answer = await poller.poll(self._ask, within=self._seconds_left(FIRST_LOOK if answer is None else 0.0))
            except asyncio.TimeoutError:
                return failure(answer) if isinstance(answer, MLSQLError) else {"status": "timeout"}
            if isinstance(answer, MLSQLError):
                failures += 1
                if failures == ATTEMPTS or isinstance(answer, InputError):
                    return failure(answer)
                self.log.warning("Look %s of %s: %s", failures, ATTEMPTS, answer.message)
            else:
                failures = 0
                if answer["status"] != "waiting":
                    return answer
                if answer["message"] != said:
                    said = answer["message"]
                    self.log.info("%s", said)

    def _ask(self, watch: VersionWatch) -> Answer:
        return watch.answer(self.condition)

    def _seconds_left(self, at_least: float) -> float | None:
        if self.deadline is None:
            return None
        return max(at_least, (datetime.fromisoformat(self.deadline) - datetime.now(timezone.utc)).total_seconds())


class MLSQLModelEventTrigger(BaseEventTrigger):
    """Fire for every version that lands in a model path: the trigger of an ``AssetWatcher``.

    ``Asset("churn", watchers=[AssetWatcher(name="new", trigger=MLSQLModelEventTrigger(model_path="/models/churn"))])``. The
    event's payload is the XCom of the train operator, whoever trained the version. Versions that are there when the watcher
    runs for the first time are no news. Of several that land between two looks each fires, the oldest first.

    How far it has come is kept in Airflow's state store of the asset (Airflow 3.3 and later), one poll after the events, so
    that none is lost when the triggerer ends in between; that poll's events are repeated then. Without such a store, before
    Airflow 3.3 or when one trigger watches for several assets, what lands while no triggerer runs is missed.

    :param model_path: path or URI of the model; it need not exist yet.
    :param poke_interval: seconds between two looks.
    :param min_score: pass over versions with a score that is not as good.
    :param metric: a metric of the best group to compare with ``min_score``, instead of the score.
    :param greater_is_better: False for a metric such as a loss; what holds for the version's score by default.
    """

    def __init__(
        self,
        *,
        model_path: str,
        poke_interval: float = 60.0,
        min_score: float | None = None,
        metric: str | None = None,
        greater_is_better: bool | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        refuse_password(model_path)
        self.model_path = model_path
        self.poke_interval = parse_interval(poke_interval)
        self.condition = parse_conditions({"min_score": min_score, "metric": metric, "greater_is_better": greater_is_better})
        self._checkpoint: Checkpoint | None = None
        self._kept: Checkpoint | None = None
        self._warned: str | None = None
        self._store: AssetStateStoreAccessors | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", {
            "model_path": self.model_path,
            "poke_interval": self.poke_interval,
            "min_score": self.condition.min_score,
            "metric": self.condition.metric,
            "greater_is_better": self.condition.greater_is_better,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        self._checkpoint = self._kept = await self._load()
        while True:  # a trigger of an asset that ended would be started again at once
            try:
                async with polling(self.model_path, self.poke_interval) as poller:
                    while True:
                        for manifest in await self._next(poller):
                            self.log.info("Version %s of %s has landed", manifest.version, poller.uri)
                            yield TriggerEvent(to_xcom(manifest.result(poller.uri)))  # type: ignore[no-untyped-call]
            except MLSQLError as error:
                self._warn(error)
                await asyncio.sleep(self.poke_interval)

    async def _next(self, poller: Poller) -> tuple[Manifest, ...]:
        """The versions that the next look finds."""
        new_versions = await poller.poll(self._ask)
        if isinstance(new_versions, MLSQLError):
            self._warn(new_versions)
            return ()
        await self._save()  # that the events of the look before are told: Airflow has stored them by now
        self._warned, self._checkpoint = None, new_versions.checkpoint
        if not new_versions.versions:
            await self._save()
        return new_versions.versions

    def _ask(self, watch: VersionWatch) -> NewVersions:
        return watch.new_versions(self.condition, self._checkpoint)

    def _warn(self, error: MLSQLError) -> None:
        """Say once what keeps it from looking."""
        if error.message != self._warned:
            self._warned = error.message
            self.log.warning("%s; looking again every %g seconds", error.message, self.poke_interval)

    async def _load(self) -> Checkpoint | None:
        """How far a run before has come. An error ends the trigger, and Airflow starts it again."""
        self._store = getattr(self, "asset_state_store", None)  # set by triggerers of Airflow 3.3 and later
        if self._store is None:
            return None
        try:
            kept = await self._store.aget(self._key)
        except ValueError:  # Airflow does not say for which of the assets
            self.log.warning("A trigger of several assets has no place to keep what it has told; give each asset its own")
            self._store = None
            return None
        return None if kept is None else codec.decode(Checkpoint, kept, f"state {self._key} of the asset")

    async def _save(self) -> None:
        if self._checkpoint is not None and self._checkpoint != self._kept:
            if self._store is not None:
                await self._store.aset(self._key, codec.encode(self._checkpoint))
            self._kept = self._checkpoint

    @property
    def _key(self) -> str:
        """In the store of the asset: by the path only, so that other conditions go on where these were."""
        return f"mlsql-{hashlib.sha256(self.model_path.encode()).hexdigest()[:16]}"
