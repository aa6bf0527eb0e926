"""The settings of lineage: whether tasks report it, and the properties for Spark's own OpenLineage listener."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_mlsql.compat import mask_secret
from mlsql_runtime.plan import is_secret_property

if TYPE_CHECKING:
    from airflow.sdk import Context

_SECTION = "openlineage"


def is_lineage_wanted() -> bool:
    """Return whether Airflow's OpenLineage provider is installed and has a transport for events."""
    try:
        from airflow.providers.openlineage.conf import is_disabled
    except ImportError:
        return False
    return not is_disabled()


def read_injected_properties(
    properties: Mapping[str, str], context: Context, parent: bool | None, transport: bool | None
) -> dict[str, str]:
    """Return the Spark properties that connect Spark's own OpenLineage listener with the task, and mask their secrets.

    They are made by Airflow's OpenLineage provider, as for its Spark operators.

    :param properties: those that are set. If they name a parent, or a transport, it stays.
    :param parent: whether to name the task as the parent of the application's runs; None: ``[openlineage]
        spark_inject_parent_job_info`` decides.
    :param transport: whether to pass Airflow's transport on; None: ``[openlineage] spark_inject_transport_info`` decides.
    """
    has_parent = _is_set(parent, "spark_inject_parent_job_info")
    has_transport = _is_set(transport, "spark_inject_transport_info")
    if not has_parent and not has_transport:
        return {}
    from airflow.providers.common.compat.openlineage.utils.spark import (  # which imports the whole provider
        inject_parent_job_information_into_spark_properties,
        inject_transport_information_into_spark_properties,
    )

    injected: dict[str, Any] = dict(properties)
    if has_parent:
        injected = inject_parent_job_information_into_spark_properties(injected, context)
    if has_transport:
        injected = inject_transport_information_into_spark_properties(injected, context)
    added = {name: str(value) for name, value in injected.items() if name not in properties}
    mask_secret([value for name, value in added.items() if is_secret_property(name, value)])
    return added


def _is_set(given: bool | None, setting: str) -> bool:
    return conf.getboolean(_SECTION, setting, fallback=False) if given is None else given
