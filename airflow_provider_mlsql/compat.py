"""What Airflow's versions keep in different places, or lack, where ``airflow.providers.common.compat.sdk`` does not help."""

from __future__ import annotations

from airflow.providers.common.compat.version_compat import get_base_airflow_version_tuple

try:
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 3.0
    from airflow.sdk.execution_time.secrets_masker import mask_secret  # type: ignore[no-redef]

__all__ = ["HAS_BROWSER_SESSIONS", "mask_secret"]

HAS_BROWSER_SESSIONS = get_base_airflow_version_tuple() >= (3, 1, 1)
"""Whether the API server knows users by a cookie: without it, only requests of the UI's own pages are authenticated."""
