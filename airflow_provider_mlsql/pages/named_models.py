"""The model paths that this Airflow has named in XComs and in events of assets, with the DAGs that named them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mlsql.pages.storage_paths import without_password
from airflow_provider_mlsql.xcom_versions import FAILED_VERSION, find_versions

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_ROWS = 20_000  # that one look reads, the newest first
MAX_PATHS = 5_000
_OVERLAP = timedelta(minutes=5)  # rows become visible later than their time
_KEYS = ("return_value", FAILED_VERSION)


class NamedModels:
    """What has been named so far. Each look reads only what is new in Airflow's database."""

    def __init__(self) -> None:
        self._dags: dict[str, set[str]] = {}
        self._since: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def look(self, session: Session) -> Mapping[str, frozenset[str]]:
        """Return the model paths, each with the DAGs that named it; for a configured path that no DAG named, none."""
        with self._lock:
            newest: dict[str, datetime] = {}
            for dag_id, path in (*self._read_xcoms(session, newest), *self._read_asset_events(session, newest)):
                if path in self._dags or len(self._dags) < MAX_PATHS:
                    self._dags.setdefault(path, set()).add(dag_id)
            self._since |= newest  # not before: a query that fails must not cost what another one has found
            found = {path: frozenset(dags) for path, dags in self._dags.items()}
        return {path: frozenset() for path in read_configured_paths()} | found

    def _read_xcoms(self, session: Session, newest: dict[str, datetime]) -> Iterator[tuple[str, str]]:
        from airflow.models.xcom import XComModel

        where = [XComModel.key.in_(_KEYS)]
        for row in self._read_new(session, newest, XComModel, XComModel.value, XComModel.dag_id, where):
            for version in find_versions(decode_xcom(row[0])):
                yield row[1], version.model_path

    def _read_asset_events(self, session: Session, newest: dict[str, datetime]) -> Iterator[tuple[str, str]]:
        from airflow.models.asset import AssetEvent

        for extra, dag_id, _ in self._read_new(session, newest, AssetEvent, AssetEvent.extra, AssetEvent.source_dag_id, []):
            path = extra.get("model_path") if isinstance(extra, dict) else None
            if dag_id and isinstance(path, str):
                yield dag_id, path

    def _read_new(
        self, session: Session, newest: dict[str, datetime], table: Any, document: Any, dag_id: Any, where: list[Any]
    ) -> list[Any]:
        """Return the documents of a table that name a model path and are new, the newest first, whose time goes to ``newest``."""
        from sqlalchemy import Text, cast, select

        since = self._since.get(table.__tablename__)
        conditions = [*where, cast(document, Text).like("%model_path%")]
        if since is not None:
            conditions.insert(0, table.timestamp > since - _OVERLAP)
        query = select(document, dag_id, table.timestamp).where(*conditions).order_by(table.timestamp.desc()).limit(MAX_ROWS)
        rows = list(session.execute(query))
        if rows:
            newest[table.__tablename__] = rows[0][2]
        return rows


def read_configured_paths() -> list[str]:
    """Return the paths of ``[mlsql] model_paths``, which are separated by commas or line ends."""
    text = conf.get("mlsql", "model_paths", fallback="") or ""
    return list(dict.fromkeys(part.strip().rstrip("/") for part in text.replace("\n", ",").split(",") if part.strip()))


def find_path(named: Mapping[str, frozenset[str]], shown: str) -> str | None:
    """Return the model path that is shown as ``shown``, without a password."""
    if shown in named:
        return shown
    return next((path for path in named if without_password(path) == shown), None)


def decode_xcom(stored: Any) -> Any:
    """Decode an XCom's value, which Airflow stores as JSON text. A reference of another XCom backend has no version."""
    if not isinstance(stored, str):
        return stored
    try:
        return json.loads(stored)
    except (ValueError, RecursionError):
        return None
