"""The record of a function that a predict script has made for a fit group."""

from __future__ import annotations

import sys
from datetime import datetime, timezone

from mlsql_runtime.scoring.group_signature import find_signature
from mlsql_runtime.script.protocol import Handover
from mlsql_runtime.store import layout
from mlsql_runtime.store.format_version import FORMAT_VERSION
from mlsql_runtime.store.function_records import FunctionRecord
from mlsql_runtime.store.manifest import FileEntry, FitRecord, Manifest, ScriptFacts


def make_record(
    manifest: Manifest,
    fit: FitRecord,
    handover: Handover,
    *,
    function: str,
    number: int,
    job_id: str,
    model_path: str,
    script: ScriptFacts,
    pickle: FileEntry,
    with_train_params: bool = False,
) -> FunctionRecord:
    """Return the record of a function, made by this Python now.

    :param manifest: that of the model's version.
    :param handover: how the script says that its function is called.
    :param number: the version of the function.
    :param pickle: the file with the function.
    :param with_train_params: keep the options of the training in the record.
    """
    signature, own = find_signature(manifest, fit), manifest.signature
    has_own_features = own is None or signature is None or own.features == signature.features
    return FunctionRecord(
        format_version=FORMAT_VERSION,
        function=function,
        function_version=number,
        created=datetime.now(timezone.utc),
        job_id=job_id,
        contract=handover.contract,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        pickle=pickle,
        script=script,
        model_path=model_path,
        version=manifest.version,
        alg_index=fit.alg_index,
        score=fit.score,
        feature_width=manifest.data.feature_width if has_own_features else None,
        train_params=manifest.train_options if with_train_params else None,
        model_files=manifest.files_below(layout.model_dir(fit.alg_index)),
        packages=fit.packages,
        input=handover.input,
        returns=handover.returns,
        signature=signature,
    )
