"""What Airflow's versions keep in different places, or lack, where ``airflow.providers.common.compat.sdk`` does not help."""

from __future__ import annotations

from collections.abc import Mapping

from airflow.providers.common.compat.sdk import conf
from airflow.providers.common.compat.version_compat import get_base_airflow_version_tuple

from mlsql_runtime.plan import is_secret

try:
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 3.0
    from airflow.sdk.execution_time.secrets_masker import mask_secret  # type: ignore[no-redef]

__all__ = ["HAS_BROWSER_SESSIONS", "mask_by_name", "mask_secret"]

HAS_BROWSER_SESSIONS = get_base_airflow_version_tuple() >= (3, 1, 1)
"""Whether the API server knows users by a cookie: without it, only requests of the UI's own pages are authenticated."""


def mask_by_name(values: Mapping[str, str]) -> None:
    """Mask in logs the values whose names say that they are secrets, to us or to Airflow.

    Airflow warns of each text that is too short to be masked, whatever its name. So it does not get those that are no secrets.
    """
    mask_secret([value for name, value in values.items() if is_secret(name)])
    shortest = conf.getint("logging", "min_length_masked_secret", fallback=5)
    mask_secret({name: value for name, value in values.items() if len(value) >= shortest})
