"""The training run of one statement: its fit groups, and the version that it publishes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from mlsql_runtime import __version__
from mlsql_runtime.errors import TrainingFailed
from mlsql_runtime.events import log
from mlsql_runtime.feed.table_facts import is_vector_type
from mlsql_runtime.plan import Train
from mlsql_runtime.plan.options import format_options
from mlsql_runtime.plan.spark_properties import hide_secrets
from mlsql_runtime.preflight.host_check import HostNeeds
from mlsql_runtime.preflight.hosts import PreflightOutcome
from mlsql_runtime.script.bundle import read_bundle
from mlsql_runtime.script.process import LOG
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.curve_files import write_curves
from mlsql_runtime.store.format_version import FORMAT_VERSION
from mlsql_runtime.store.manifest import DataFacts, FailureRecord, Manifest
from mlsql_runtime.store.project_files import pack_files, split_private_files
from mlsql_runtime.store.publish import VersionDraft, claim_version, find_published_version
from mlsql_runtime.store.sources import Source
from mlsql_runtime.store.staging import Staging
from mlsql_runtime.store.versions import open_model_path
from mlsql_runtime.training.columns import find_roles, list_columns, make_signature
from mlsql_runtime.training.data import TrainingData
from mlsql_runtime.training.group import MODEL, SAMPLES, GroupResult, GroupTask, run_group_task
from mlsql_runtime.training.mlsql_meta_tables import write_meta

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from mlsql_runtime.run_context import RunContext


class TrainingRun:
    """One attempt at a train statement. ``statement`` has the default parameters of the script's project filled in.

    :raises InputError: when the script cannot be read, or a parameter is missing or not of its type.
    """

    def __init__(self, statement: Train, context: RunContext) -> None:
        self.context = context
        self.root = open_model_path(statement.model_path, context.access)
        self.bundle = read_bundle(context.locate_script(statement.script_path), statement.tag, context.access)
        for note in self.bundle.notes:
            log(f"train: {note}")
        groups = (self.bundle.fill(params, f"fitParam.{index}") for index, params in enumerate(statement.fit_params))
        self.statement = replace(statement, fit_params=tuple(groups))
        # The same in all attempts of this training, and in no other training.
        parts = (context.plan.digest(context.index), self.bundle.facts.sha256, __version__)
        self.training = hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def find_published(self) -> Manifest | None:
        """Return the version that an earlier attempt of this training has published."""
        since = self.context.plan.attempt.earlier_since
        manifest = None if since is None else find_published_version(self.root, self.context.job_id, self.training, since)
        if manifest is not None:
            log(f"train: an earlier attempt has published version {_describe(manifest, self.root)}")
        return manifest

    def find_needs(self, table: DataFrame | None) -> HostNeeds:
        """Return what hosts must have to run the script on ``table``; None for a topic that is there already."""
        return HostNeeds.of_script(
            self.bundle,
            self.statement.python,
            has_vectors=table is not None and any(is_vector_type(field.dataType) for field in table.schema.fields),
            is_kafka=self.statement.outline.topic is not None,
        )

    def fit_groups(
        self, stage: Staging, data: TrainingData, finished: Mapping[int, GroupResult], hosts: PreflightOutcome
    ) -> list[GroupResult]:
        """Run the groups that no earlier attempt has finished, as tasks of one Spark job."""
        count, facts = len(self.statement.fit_params), data.table.facts
        roles = find_roles(self.statement, list(facts.columns))
        samples = roles.names if roles.features and self.statement.keep_sample_rows else ()
        log(f"train: {count} fit group{'s' if count > 1 else ''} of {self.bundle.entry}")
        results = list(finished.values())
        with self.context.create_event_server() as server:
            tasks = [
                GroupTask(
                    alg_index=index,
                    fit_params=params,
                    python=self.statement.python,
                    model_path=self.statement.model_path,
                    task_cpus=self.context.task_cpus,
                    data=data.table,
                    validate=data.validate,
                    staging=stage.folder,
                    events=server.address,
                    hosts=hosts,
                    keep_local_directory=self.statement.keep_local_directory,
                    signature=make_signature(self.statement, facts, index),
                    columns=list_columns(self.statement, roles),
                    sample_columns=samples,
                )
                for index, params in enumerate(self.statement.fit_params)
                if index not in finished
            ]
            if tasks:
                spark_context = self.context.spark.sparkContext
                bundle = spark_context.broadcast(self.bundle)  # it may be a large project: sent once to each host
                try:
                    groups = spark_context.parallelize(tasks, len(tasks))
                    results += groups.map(lambda task: run_group_task(task, bundle.value)).collect()
                finally:
                    bundle.unpersist()
        results.sort(key=lambda result: result.record.alg_index)
        for record in (result.record for result in results):
            seconds = (record.ended - record.started).total_seconds()
            by = ", by an earlier attempt" if record.alg_index in finished else ""
            note = f"; {record.message}" if record.message else ""
            log(f"fit {record.alg_index}: {record.status}, score {record.score}, {seconds:.1f} s{by}{note}")
        return results

    def publish(
        self,
        results: Sequence[GroupResult],
        data: TrainingData,
        sources: tuple[Source, ...],
        environment: Mapping[str, str],
    ) -> Manifest:
        """Publish a version of the groups that succeeded.

        :raises TrainingFailed: when all groups failed, or any with ``failOn = any``; a failure record is left.
        """
        failed = [result for result in results if not result.is_successful]
        with claim_version(self.root, self.context.job_id, self.training) as draft:
            for result in results:
                log_file = draft.folder / layout.log_file(result.record.alg_index)
                log_file.copy_from(self._output(result) / LOG)
            write_curves(draft.folder, (self._output(result) / layout.CURVES for result in results if result.record.metrics))
            if len(failed) < len(results) and not (failed and self.statement.fail_on == "any"):
                return self._publish_version(draft, results, data, sources, environment)
            failure = self._write_failure(draft, results, failed)
        raise failure

    def _output(self, result: GroupResult) -> Location:
        return self.root.at(str(result.output))

    def _publish_version(
        self,
        draft: VersionDraft,
        results: Sequence[GroupResult],
        data: TrainingData,
        sources: tuple[Source, ...],
        environment: Mapping[str, str],
    ) -> Manifest:
        successful = [result for result in results if result.is_successful]
        for result in successful:
            (draft.folder / layout.model_dir(result.record.alg_index)).copy_from(self._output(result) / MODEL)
        samples = (self._output(result) / SAMPLES for result in successful)
        if (sample := next((place for place in samples if place.exists()), None)) is not None:
            (draft.folder / layout.SAMPLES).copy_from(sample)
        if self.statement.keep_script and self.bundle.name is None:
            kept, private = split_private_files(self.bundle.files)
            if private:
                log(
                    f"train: the project that is kept with the version has no {', '.join(sorted(private))}, because hidden files "
                    "and files with keys may be secret"
                )
            (draft.folder / layout.PROJECT).write(pack_files(kept))
        facts, python = data.table.facts, self.statement.python
        signature = make_signature(self.statement, facts)
        options = hide_secrets(format_options(self.statement))
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            job_id=self.context.job_id,
            version=draft.version,
            created=datetime.now(timezone.utc),
            script=self.bundle.facts,
            parameters=python.system_params,
            greater_is_better=self.statement.greater_is_better,
            data=DataFacts(
                rows=facts.rows,
                validate_rows=data.validate_rows,
                columns=facts.columns,
                feature_column=signature.names[0] if signature and len(signature.names) == 1 else None,
                feature_width=facts.width,
            ),
            fits=tuple(result.record for result in results),
            environment=environment,
            files=(),
            description=self.statement.description,
            task=self.context.plan.task,
            signature=signature,
            sources=sources,
            options={name: text for name, text in options.items() if not name.startswith(("fitParam.", "systemParam."))},
            envs=python.kept_envs,
            requirements=python.kept_requirements,
        )
        write_meta(draft.folder, self.statement.script_path, manifest)
        manifest = replace(manifest, files=draft.file_entries())
        draft.publish(manifest)
        log(f"train: published version {_describe(manifest, self.root)}")
        return manifest

    def _write_failure(
        self, draft: VersionDraft, results: Sequence[GroupResult], failed: Sequence[GroupResult]
    ) -> TrainingFailed:
        reasons = "; ".join(f"group {r.record.alg_index} ({r.record.status}): {r.record.message}" for r in failed)
        message = (
            f"training {self.statement.script_path} for {self.statement.model_path}: "
            f"{len(failed)} of {len(results)} fit groups failed: {reasons}"
        )
        tails = {str(result.record.alg_index): result.tail for result in failed}
        draft.fail(
            FailureRecord(
                format_version=FORMAT_VERSION,
                job_id=self.context.job_id,
                version=draft.version,
                created=datetime.now(timezone.utc),
                message=message,
                fits=tuple(result.record for result in results),
                tails=tails,
                task=self.context.plan.task,
            )
        )
        lines = {index: list(tail) for index, tail in tails.items()}
        return TrainingFailed(message, model_path=self.root.uri, version=draft.version, tails=lines)


def _describe(manifest: Manifest, root: Location) -> str:
    return f"{manifest.version} of {root.uri}, best is group {manifest.best.alg_index} with score {manifest.best.score}"
