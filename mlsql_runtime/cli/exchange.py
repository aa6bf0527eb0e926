"""``mlsql models export``, ``mlsql models import``: versions as MLflow or ONNX models, and models made elsewhere as versions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlsql_runtime.cli.options import FILE, json_option, path_argument, version_option
from mlsql_runtime.cli.output import format_count, format_size, format_value, print_fields, print_json
from mlsql_runtime.cli.process import current_user, handle_signals
from mlsql_runtime.plan.builtin import BUILTINS

if TYPE_CHECKING:
    from mlsql_runtime.events import ScriptEvent


@click.command(short_help="Write a version as an MLflow or ONNX model.")
@path_argument
@click.argument("target", type=FILE, metavar="DIR")
@click.option("--format", "kind", type=click.Choice(["mlflow", "onnx"]), default="mlflow", show_default=True)
@version_option
@click.option("--group", type=click.IntRange(min=0), metavar="I", help="The fit group; the best one by default.")
@click.option("--function", metavar="NAME", help="The registered function whose predictions the model has.")
@click.option("--script", type=FILE, metavar="PATH", help="A predict script that makes the function instead.")
@click.option("--builtin", type=click.Choice(BUILTINS), help="A built-in predict script instead.")
@json_option
def export(
    path: str,
    target: str,
    kind: str,
    version: int | None,
    group: int | None,
    function: str | None,
    script: str | None,
    builtin: str | None,
    as_json: bool,
) -> None:
    """Write a version as an MLflow model, or as an ONNX file, into DIR.

    An MLflow model predicts as a function does in SQL: as the one that uses the
    version, or else as the predict script of the project that trained it. DIR
    is new or empty, and complete afterwards or not there.

    \b
    Example:
      mlsql models export /models/spam --version 7 --format mlflow spam_mlflow
    """
    from mlsql_runtime.exchange.exported_function import choose_model
    from mlsql_runtime.exchange.mlflow_export import export_mlflow
    from mlsql_runtime.exchange.onnx_export import export_onnx
    from mlsql_runtime.plan import to_builtin_path

    chosen = {"--function": function, "--script": script, "--builtin": builtin}
    given = [name for name, value in chosen.items() if value is not None]
    if len(given) > 1:
        raise click.UsageError(f"give {' or '.join(given)}, not both")
    if kind == "onnx" and given:
        raise click.UsageError(f"{given[0]} is for MLflow models; an ONNX file has the model's own predictions")
    with handle_signals():
        choice = choose_model(path, version, group)
        if kind == "onnx":
            exported = export_onnx(choice, Path(target))
        else:
            script_path = to_builtin_path(builtin) if builtin else script
            exported = export_mlflow(choice, Path(target), function, script_path, _show)
    if as_json:
        print_json(exported)
        return
    print_fields(
        {
            "model": f"{exported.model_path}, version {exported.version}, group {exported.alg_index}",
            "predictions": exported.predictions,
            exported.format: f"{exported.folder}, {format_count(exported.files, 'file')}, {format_size(exported.size)}",
        }
    )


def _show(event: ScriptEvent) -> None:
    """Print a line of a predict script beside the result of the command."""
    click.echo(f"[export] {event.text}", err=True)


@click.command("import", short_help="Make a version of a model from elsewhere.")
@click.argument("source", metavar="SOURCE")
@path_argument
@click.option("--score", type=float, metavar="NUMBER", help="The score with which gates compare the version.")
@click.option("--lower-is-better", is_flag=True, help="The score is a loss.")
@click.option("--description", metavar="TEXT", help="Text about the model, kept in the manifest.")
@json_option
def import_model(
    source: str, path: str, score: float | None, lower_is_better: bool, description: str | None, as_json: bool
) -> None:
    """Make the next version under PATH from a model that was trained elsewhere.

    SOURCE is an MLflow model (a folder with MLmodel, or a URI of MLflow such as
    models:/spam/3), a pickle, or a joblib file. Nothing of it is run; loading
    it, which registering a function does, runs what is in it.

    \b
    Example:
      mlsql models import model.joblib /models/spam --score 0.93
    """
    from mlsql_runtime.exchange.foreign_model import open_foreign_model
    from mlsql_runtime.exchange.import_version import import_version
    from mlsql_runtime.store.versions import open_model_path

    if score is not None and not math.isfinite(score):
        raise click.BadParameter(f"{score} is not a finite number", param_hint="--score")
    if lower_is_better and score is None:
        raise click.UsageError("--lower-is-better is about the score, and there is no --score")
    root = open_model_path(path)
    with handle_signals(), open_foreign_model(source) as model:
        manifest = import_version(
            root,
            model,
            score=score,
            greater_is_better=False if lower_is_better else None,
            description=description,
            by=current_user(),
        )
        notes = model.notes
    for note in notes:
        click.echo(f"mlsql: {note}", err=True)
    if as_json:
        print_json({"model_path": root.uri, "version": manifest.version, "imported": manifest.imported, "notes": notes})
        return
    size = sum(entry.size for entry in manifest.files)
    print_fields(
        {
            "version": f"{manifest.version} of {root.uri}",
            "imported": manifest.imported.description if manifest.imported else None,
            "signature": ", ".join(map(str, manifest.signature.features)) if manifest.signature else "none",
            "score": format_value(manifest.best.score, "none"),
            "files": f"{format_count(len(manifest.files), 'file')}, {format_size(size)}",
        }
    )
