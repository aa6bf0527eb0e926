"""An auth manager for the tests: Airflow's simple one, and a user who must not see some DAGs."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

STRANGER = "stranger"
SECRET_DAGS = ("trains_spam",)
SECRET_XCOMS = ("names_models",)


class DagAuthManager(SimpleAuthManager):
    """The simple auth manager; ``stranger`` must not see the secret DAGs, nor the XComs of others."""

    def is_authorized_dag(
        self, *, user: Any, access_entity: DagAccessEntity | None = None, details: Any = None, **asked: Any
    ) -> bool:
        dag = None if details is None else details.id
        is_secret = dag in SECRET_DAGS or (dag in SECRET_XCOMS and access_entity is DagAccessEntity.XCOM)
        if user.get_name() == STRANGER and is_secret:
            return False
        return super().is_authorized_dag(user=user, access_entity=access_entity, details=details, **asked)
