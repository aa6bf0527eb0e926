"""The secrets that a task's log hides."""

from __future__ import annotations

from collections.abc import Mapping

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mlsql.compat import mask_secret
from mlsql_runtime.plan import is_secret_property


def mask_by_name(values: Mapping[str, str]) -> None:
    """Mask in logs the values whose names say that they are secrets, to us or to Airflow, and URLs with passwords.

    Airflow warns of each text that is too short to be masked, whatever its name. So it does not get those that are no secrets.
    """
    mask_secret([value for name, value in values.items() if is_secret_property(name, value)])
    shortest = conf.getint("logging", "min_length_masked_secret", fallback=5)
    mask_secret({name: value for name, value in values.items() if len(value) >= shortest})
