"""Write a scikit-learn model as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlsql_runtime import __version__
from mlsql_runtime.errors import InputError
from mlsql_runtime.exchange.exported_function import ModelChoice
from mlsql_runtime.exchange.target_folder import Exported, new_folder, publish_folder
from mlsql_runtime.feed.decoding.sql_types import is_list, is_number, parse_type
from mlsql_runtime.feed.decoding.vectors import is_vector
from mlsql_runtime.plan.python_env import hide_passwords
from mlsql_runtime.scoring.group_signature import find_signature
from mlsql_runtime.script import code_pickle
from mlsql_runtime.store import layout
from mlsql_runtime.store.verification import verify_files

FILE = "model.onnx"
_PICKLED = "model.pickle"


def export_onnx(choice: ModelChoice, target: Path) -> Exported:
    """Write the model of a group into ``target`` as ``model.onnx``, which is complete or not there.

    Its inputs are a matrix ``features`` of doubles, or the feature columns by name, each of shape (n, 1); its outputs are those
    of skl2onnx.

    :raises InputError: when skl2onnx is not installed, or cannot convert the model, with its reason.
    """
    skl2onnx = _import_skl2onnx()
    model = _load_model(choice)
    with new_folder(target) as folder:
        written = folder / "model"
        written.mkdir()
        content = _convert(skl2onnx, model, choice)
        (written / FILE).write_bytes(content)
        publish_folder(written, target)
    return Exported(
        model_path=hide_passwords(choice.root.uri),
        version=choice.manifest.version,
        alg_index=choice.fit.alg_index,
        format="onnx",
        folder=str(target),
        predictions=f"those of {type(model).__name__}",
        files=1,
        size=len(content),
    )


def _import_skl2onnx() -> Any:
    try:
        import skl2onnx
    except ImportError as error:
        raise InputError(
            f"exporting an ONNX file needs skl2onnx ({error}); run pip install 'airflow-provider-mlsql[onnx]'"
        ) from error
    return skl2onnx


def _load_model(choice: ModelChoice) -> Any:
    """Return the model, which must be one of scikit-learn in a pickle."""
    where = f"version {choice.manifest.version} of {choice.root.uri}, group {choice.fit.alg_index}"
    names = [entry.path.rpartition("/")[2] for entry in choice.files]
    if _PICKLED not in names:
        raise InputError(
            f"{where} has {', '.join(names[:5])}; only models of scikit-learn in {_PICKLED}, as mlsql_model.sk_save_model saves "
            "them, can be written as ONNX"
        )
    verify_files(choice.folder, choice.files)
    pickled = (choice.folder / layout.model_dir(choice.fit.alg_index) / _PICKLED).read()
    try:
        return code_pickle.loads(pickled)
    except Exception as error:
        raise InputError(f"{where} cannot be loaded here: {type(error).__name__}: {error}") from error


def _convert(skl2onnx: Any, model: Any, choice: ModelChoice) -> bytes:
    inputs = _find_inputs(choice, model)
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    try:
        proto = skl2onnx.to_onnx(model, initial_types=inputs, options=options)
    except Exception as error:  # skl2onnx raises errors of its own, and those of scikit-learn
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"skl2onnx {skl2onnx.__version__} cannot convert {type(model).__module__}.{type(model).__name__}: {reason}; "
            "export it with --format mlflow"
        ) from error
    proto.producer_name, proto.producer_version = "airflow-provider-mlsql", __version__
    proto.doc_string = f"version {choice.manifest.version}, group {choice.fit.alg_index} of {hide_passwords(choice.root.uri)}"
    content: bytes = proto.SerializeToString()
    return content


def _find_inputs(choice: ModelChoice, model: Any) -> list[tuple[str, Any]]:
    """Return names and types of the inputs, in the terms of skl2onnx."""
    from skl2onnx.common.data_types import BooleanTensorType, DoubleTensorType, StringTensorType

    signature = find_signature(choice.manifest, choice.fit)
    kinds = [parse_type(column.type) for column in signature.features] if signature else []
    is_row = len(kinds) == 1 and (is_vector(kinds[0]) or is_list(kinds[0]))
    if not kinds or is_row:
        width = choice.manifest.data.feature_width or getattr(model, "n_features_in_", None)
        return [("features", DoubleTensorType([None, width]))]
    assert signature is not None
    if all(map(is_number, kinds)) and not hasattr(model, "feature_names_in_"):  # it learned from a matrix
        return [("features", DoubleTensorType([None, len(kinds)]))]
    types = []
    for column, kind in zip(signature.features, kinds, strict=True):
        name = str(kind)
        chosen = StringTensorType if name == "string" else BooleanTensorType if name == "bool" else DoubleTensorType
        if chosen is DoubleTensorType and not is_number(kind):
            raise InputError(f"column '{column.name}' is {column.type}; ONNX takes numbers, text and booleans from scikit-learn")
        types.append((column.name, chosen([None, 1])))
    return types
