"""The facets of this provider, beside those of OpenLineage's specification.

``facets.json`` beside this module is their JSON schema. To change a facet, raise the version in both.
"""

from __future__ import annotations

import attr
from openlineage.client.facet_v2 import DatasetFacet, JobFacet

SCHEMA = "urn:airflow-provider-mlsql:facets:1-0-0"


@attr.define
class ScoreDatasetFacet(DatasetFacet):
    """The score of the fit group ``group`` of a model. ``greaterIsBetter`` is None if that is not known."""

    group: int
    score: float | None
    greaterIsBetter: bool | None  # noqa: N815 - names in events are in camel case

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA}#/$defs/ScoreDatasetFacet"


@attr.define
class MetricsDatasetFacet(DatasetFacet):
    """The last values of the metrics that the fit group of a model has reported."""

    metrics: dict[str, float | None]

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA}#/$defs/MetricsDatasetFacet"


@attr.define
class FunctionsDatasetFacet(DatasetFacet):
    """The names of SQL functions that the task has registered for a model, or called."""

    functions: list[str]

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA}#/$defs/FunctionsDatasetFacet"


@attr.define
class ProvenanceDatasetFacet(DatasetFacet):
    """The job that has made a version of a model, when (ISO 8601), and its script. ``scriptSha256`` is over all files of that."""

    jobId: str  # noqa: N815
    created: str
    script: str
    scriptSha256: str  # noqa: N815

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA}#/$defs/ProvenanceDatasetFacet"


@attr.define
class Script:
    """A script that a statement ran, with the SHA-256 over all its files."""

    role: str
    name: str
    sha256: str


@attr.define
class ScriptsJobFacet(JobFacet):
    """The source code of a job, by its digests."""

    scripts: list[Script]

    @staticmethod
    def _get_schema() -> str:
        return f"{SCHEMA}#/$defs/ScriptsJobFacet"
