"""What a user may see: the models of the DAGs whose XComs the user may read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser


class Viewer:
    """A user of the pages. Airflow's auth manager is asked once for each DAG."""

    def __init__(self, user: BaseUser) -> None:
        self._user = user
        self._may_read: dict[str, bool] = {}

    def may_read(self, dag_id: str) -> bool:
        """Return whether the user may read the XComs of a DAG."""
        if dag_id not in self._may_read:
            self._may_read[dag_id] = dag_id in self._readable_dags and self._is_authorized(dag_id)
        return self._may_read[dag_id]

    def select(self, named: Mapping[str, Iterable[str]]) -> list[str]:
        """Return the model paths that a readable DAG has named, and those that none has named if the user may read all DAGs."""
        found = [path for path, dags in named.items() if any(map(self.may_read, dags))]
        unnamed = [path for path, dags in named.items() if not tuple(dags)]
        return found + (unnamed if unnamed and self._reads_all_dags else [])

    @cached_property
    def _readable_dags(self) -> set[str]:
        from airflow.api_fastapi.app import get_auth_manager

        return get_auth_manager().get_authorized_dag_ids(user=self._user, method="GET")

    @cached_property
    def _reads_all_dags(self) -> bool:
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            dag_ids = set(session.scalars(select(DagModel.dag_id)))
        return dag_ids <= self._readable_dags and all(map(self.may_read, dag_ids))

    def _is_authorized(self, dag_id: str) -> bool:
        """Ask as Airflow's own routes do, whatever a version's auth manager wants to know about a DAG."""
        from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
        from airflow.api_fastapi.core_api.security import requires_access_dag
        from fastapi import HTTPException

        request: Any = SimpleNamespace(path_params={"dag_id": dag_id}, query_params={})
        try:
            requires_access_dag("GET", DagAccessEntity.XCOM)(request, self._user)
        except HTTPException:
            return False
        return True
