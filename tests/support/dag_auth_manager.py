"""An auth manager for the tests: Airflow's simple one, and a user who must not see some DAGs."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

STRANGER = "stranger"
SECRET_DAGS = ("names_models", "trains_spam")


class DagAuthManager(SimpleAuthManager):
    """The simple auth manager; ``stranger`` must not see the secret DAGs."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **asked: Any) -> bool:
        is_secret = details is not None and details.id in SECRET_DAGS
        if user.get_name() == STRANGER and is_secret:
            return False
        return super().is_authorized_dag(user=user, details=details, **asked)
