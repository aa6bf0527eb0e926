"""What an operator reports to Airflow's OpenLineage provider, made of the lineage in the result of its job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client import facet_v2
from openlineage.client.event_v2 import InputDataset, OutputDataset

from airflow_provider_mlsql.lineage import facets
from airflow_provider_mlsql.lineage.naming import name_data_set, name_table
from mlsql_runtime.data_sets import DataSet, JobLineage, ModelUse
from mlsql_runtime.errors import MLSQLError

_LAYERS = ("delta", "iceberg")  # the storage layers that OpenLineage has names for
Facets = Iterator[tuple[str, facet_v2.DatasetFacet]]


def build_lineage(lineage: JobLineage | None, error: MLSQLError | None = None) -> OperatorLineage[Any, Any]:
    """Return the data sets and facets of a task that has ended.

    :param lineage: None if its job has returned none.
    :param error: what has ended the job; None if it has succeeded.
    """
    lineage = JobLineage() if lineage is None else lineage
    scripts = [facets.Script(role=each.role, name=each.name, sha256=each.sha256) for each in lineage.scripts]
    return OperatorLineage(
        inputs=[_build_input(each) for each in lineage.inputs],
        outputs=[_build_output(each) for each in lineage.outputs],
        run_facets={} if error is None else {"errorMessage": _build_error(error)},
        job_facets={"mlsql_scripts": facets.ScriptsJobFacet(scripts=scripts)} if scripts else {},
    )


def _build_input(data_set: DataSet) -> InputDataset:
    name = name_data_set(data_set)
    counts: dict[str, facet_v2.InputDatasetFacet] = {}
    if data_set.files is not None:
        statistics = facet_v2.input_statistics_input_dataset
        counts["inputStatistics"] = statistics.InputStatisticsInputDatasetFacet(size=data_set.size, fileCount=data_set.files)
    return InputDataset(name.namespace, name.name, facets=dict(_build_facets(data_set)), inputFacets=counts)


def _build_output(data_set: DataSet) -> OutputDataset:
    name = name_data_set(data_set)
    counts: dict[str, facet_v2.OutputDatasetFacet] = {}
    if data_set.rows is not None:
        statistics = facet_v2.output_statistics_output_dataset
        counts["outputStatistics"] = statistics.OutputStatisticsOutputDatasetFacet(rowCount=data_set.rows)
    return OutputDataset(name.namespace, name.name, facets=dict(_build_facets(data_set)), outputFacets=counts)


def _build_facets(data_set: DataSet) -> Facets:
    """Yield the facets that inputs and outputs have alike, by their keys."""
    if data_set.columns:
        schema = facet_v2.schema_dataset
        fields = [
            schema.SchemaDatasetFacetFields(name=name, type=type_, ordinal_position=position)
            for position, (name, type_) in enumerate(data_set.columns.items(), start=1)
        ]
        yield "schema", schema.SchemaDatasetFacet(fields=fields)
    if data_set.version is not None:
        yield "version", facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=data_set.version)
    if data_set.format in _LAYERS:
        yield "storage", facet_v2.storage_dataset.StorageDatasetFacet(storageLayer=data_set.format)
    if data_set.table is not None and data_set.uri is not None:
        symlinks, other = facet_v2.symlinks_dataset, name_table(data_set.table)
        identifier = symlinks.Identifier(namespace=other.namespace, name=other.name, type="TABLE")
        yield "symlinks", symlinks.SymlinksDatasetFacet(identifiers=[identifier])
    if data_set.model is not None:
        yield from _build_model_facets(data_set.model)


def _build_model_facets(model: ModelUse) -> Facets:
    score = facets.ScoreDatasetFacet(group=model.alg_index, score=model.score, greaterIsBetter=model.greater_is_better)
    yield "mlsql_score", score
    if model.metrics:
        yield "mlsql_metrics", facets.MetricsDatasetFacet(metrics=dict(model.metrics))
    if model.functions:
        yield "mlsql_functions", facets.FunctionsDatasetFacet(functions=list(model.functions))
    if (source := model.provenance) is not None:
        provenance = facets.ProvenanceDatasetFacet(
            jobId=source.job_id, created=source.created.isoformat(), script=source.script, scriptSha256=source.script_sha256
        )
        yield "mlsql_provenance", provenance


def _build_error(error: MLSQLError) -> facet_v2.error_message_run.ErrorMessageRunFacet:
    """Return the message of an error, with the last lines of the scripts that failed."""
    tails = error.facts.get("tails") or {"": error.facts.get("tail") or []}
    lines = [line for _, tail in sorted(tails.items()) for line in tail]
    return facet_v2.error_message_run.ErrorMessageRunFacet(
        message=error.message, programmingLanguage="python", stackTrace="\n".join(lines) or None
    )
