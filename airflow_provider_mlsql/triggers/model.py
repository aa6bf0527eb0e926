"""Triggers that wait for model versions: one for the deferrable sensor, one for assets."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from airflow_provider_mlsql.hooks.storage import ConnectionIds
from airflow_provider_mlsql.triggers.conditions import parse_conditions, parse_interval, parse_time, refuse_password
from airflow_provider_mlsql.triggers.polling import Poller, open_poller
from mlsql_runtime import codec
from mlsql_runtime.errors import InputError, MLSQLError
from mlsql_runtime.result import to_xcom
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.version_watch import Checkpoint, FinalAnswer, VersionSearch, find_new_versions, to_answer

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

ATTEMPTS = 3  # looks in a row in which storage has to fail before the waiting task fails
FIRST_LOOK = 60.0  # seconds that the first look may take, whatever the deadline: a version that exists is worth more


class MLSQLModelTrigger(BaseTrigger):
    """Wait for a complete version: fire the result or the error of :class:`MLSQLModelSensor` once, and end.

    All triggers of a triggerer that wait in one model path share one listing per poll interval, the shortest of theirs. A
    storage error is fired if three looks in a row fail; an error that a retry cannot help is fired at once.

    :param model_path: path or URI of the model; it need not exist yet.
    :param storage_conn_id: a connection for the storage of the model path, as for the operators. The triggerer reads it.
    :param poke_interval: seconds between two looks, at least a tenth of one.
    :param deadline: when to give up, as ISO 8601 text. There is always a first look, if storage responds within a minute.

    The other arguments are those of :class:`MLSQLModelSensor`.
    """

    def __init__(
        self,
        *,
        model_path: str,
        storage_conn_id: ConnectionIds = None,
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
        self.condition = parse_conditions(locals())
        super().__init__()  # type: ignore[no-untyped-call]
        refuse_password(model_path)
        self.model_path = model_path
        self.storage_conn_id = storage_conn_id
        self.poke_interval = parse_interval(poke_interval)
        limit = parse_time(deadline, "deadline")
        self.deadline = None if limit is None else limit.isoformat()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        own = {
            "model_path": self.model_path,
            "storage_conn_id": self.storage_conn_id,
            "poke_interval": self.poke_interval,
            "deadline": self.deadline,
        }
        return f"{__name__}.{type(self).__name__}", own | codec.encode(self.condition)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            async with open_poller(self.model_path, self.storage_conn_id) as poller:
                answer = await self._wait(poller)
        except MLSQLError as error:  # the path cannot be opened
            answer = to_answer(error)
        yield TriggerEvent(answer)  # type: ignore[no-untyped-call]

    async def _wait(self, poller: Poller) -> FinalAnswer:
        search = VersionSearch(self.condition)
        message: str | None = None
        failures: list[MLSQLError] = []  # of the last looks, in a row
        within = self._seconds_left(FIRST_LOOK)
        while True:
            try:
                answer = await poller.poll(search.answer, self.poke_interval, within)
            except asyncio.TimeoutError:
                return to_answer(failures[-1]) if failures else {"status": "timeout"}
            if isinstance(answer, MLSQLError):
                failures.append(answer)
                if len(failures) == ATTEMPTS or isinstance(answer, InputError):
                    return to_answer(answer)
                self.log.warning("Look %s of %s failed: %s", len(failures), ATTEMPTS, answer.message)
            elif answer["status"] != "waiting":
                return answer
            else:
                failures.clear()
                if answer["message"] != message:
                    message = answer["message"]
                    self.log.info("%s", message)
            within = self._seconds_left(0.0)

    def _seconds_left(self, at_least: float) -> float | None:
        if self.deadline is None:
            return None
        return max(at_least, (datetime.fromisoformat(self.deadline) - datetime.now(timezone.utc)).total_seconds())


class MLSQLModelEventTrigger(BaseEventTrigger):
    """Fire for every version that lands in a model path: the trigger of an ``AssetWatcher``.

    ``Asset("churn", watchers=[AssetWatcher(name="new", trigger=MLSQLModelEventTrigger(model_path="/models/churn"))])``. The
    event's payload is the XCom of the train operator, also for versions that other tools trained. Versions that exist when the
    watcher first runs do not fire. If several versions land between two looks, each fires, the oldest first.

    A checkpoint is saved in Airflow's state store of the asset (Airflow 3.3 and later), one poll after the events: if the
    triggerer ends in between, the events of that poll are repeated and none is lost. Without such a store, before Airflow 3.3 or
    if one trigger watches for several assets, versions that land while no triggerer runs are missed.

    :param model_path: path or URI of the model; it need not exist yet.
    :param storage_conn_id: a connection for the storage of the model path, as for the operators. The triggerer reads it.
    :param poke_interval: seconds between two looks, at least a tenth of one.
    :param min_score: skip versions whose score is worse.
    :param metric: a metric of the best group to compare with ``min_score``, instead of the score.
    :param greater_is_better: False for a metric such as a loss; the direction of the version's score by default.
    """

    def __init__(
        self,
        *,
        model_path: str,
        storage_conn_id: ConnectionIds = None,
        poke_interval: float = 60.0,
        min_score: float | None = None,
        metric: str | None = None,
        greater_is_better: bool | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        refuse_password(model_path)
        self.model_path = model_path
        self.storage_conn_id = storage_conn_id
        self.poke_interval = parse_interval(poke_interval)
        self.condition = parse_conditions({"min_score": min_score, "metric": metric, "greater_is_better": greater_is_better})
        self._checkpoint: Checkpoint | None = None
        self._saved: Checkpoint | None = None
        self._warned: str | None = None
        self._store: AssetStateStoreAccessors | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", {
            "model_path": self.model_path,
            "storage_conn_id": self.storage_conn_id,
            "poke_interval": self.poke_interval,
            "min_score": self.condition.min_score,
            "metric": self.condition.metric,
            "greater_is_better": self.condition.greater_is_better,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        self._checkpoint = self._saved = await self._load()
        while True:  # Airflow would at once restart a trigger of an asset that ended
            try:
                async with open_poller(self.model_path, self.storage_conn_id) as poller:
                    while True:
                        for manifest in await self._next(poller):
                            self.log.info("Version %s of %s has landed", manifest.version, poller.uri)
                            yield TriggerEvent(to_xcom(manifest.result(poller.uri)))  # type: ignore[no-untyped-call]
            except MLSQLError as error:
                self._warn(error)
                await asyncio.sleep(self.poke_interval)

    async def _next(self, poller: Poller) -> tuple[Manifest, ...]:
        """Return the versions that the next look finds."""
        found = await poller.poll(lambda watch: find_new_versions(watch, self.condition, self._checkpoint), self.poke_interval)
        if isinstance(found, MLSQLError):
            self._warn(found)
            return ()
        await self._save()  # the events of the look before are done: Airflow has stored them by now
        self._warned, self._checkpoint = None, found.checkpoint
        if not found.versions:
            await self._save()
        return found.versions

    def _warn(self, error: MLSQLError) -> None:
        """Log a new error once."""
        if error.message != self._warned:
            self._warned = error.message
            self.log.warning("%s; looking again every %g seconds", error.message, self.poke_interval)

    async def _load(self) -> Checkpoint | None:
        """Return how far an earlier run has come. An error ends the trigger, and Airflow starts it again."""
        self._store = getattr(self, "asset_state_store", None)  # set by triggerers of Airflow 3.3 and later
        if self._store is None:
            return None
        try:
            saved = await self._store.aget(self._key)
        except ValueError:  # Airflow cannot tell for which of several assets
            self.log.warning("A trigger of several assets cannot save how far it has come; give each asset a trigger of its own")
            self._store = None
            return None
        return None if saved is None else codec.decode(Checkpoint, saved, f"state {self._key} of the asset")

    async def _save(self) -> None:
        if self._checkpoint is not None and self._checkpoint != self._saved:
            if self._store is not None:
                await self._store.aset(self._key, codec.encode(self._checkpoint))
            self._saved = self._checkpoint

    @property
    def _key(self) -> str:
        """The key in the asset's store: by path only, so that a trigger with other conditions continues from there."""
        return f"mlsql-{hashlib.sha256(self.model_path.encode()).hexdigest()[:16]}"
