"""``mlsql fit``: one training script, run as a job would run it, without Spark where the data allow it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mlsql_runtime.cli.options import FILE, CommandArguments, declared_option, json_option, pairs_option
from mlsql_runtime.cli.output import echo_progress, format_size, format_value, print_json
from mlsql_runtime.cli.process import FAILED, OK, handle_signals
from mlsql_runtime.plan import FileFeed, PythonEnv, Train
from mlsql_runtime.plan.options import own_options, read_options

if TYPE_CHECKING:
    from mlsql_runtime.events import ScriptEvent
    from mlsql_runtime.local.request import FitReport, FitRequest

_TRAIN, _PYTHON = own_options(Train), own_options(PythonEnv)
_HELP = """\b
Train one script on this machine, as a job would, and print its score.

SCRIPT is a .py file, or a folder with train.py; --builtin needs none. Spark
is not started for JSON, Parquet, CSV and libsvm data.

\b
Example:
  mlsql fit train.py --data 'libsvm.`sample_libsvm_data.txt`' \\
      --fit-param alpha=0.5 --validate 0.2 --model-dir model
"""


@click.command(help=_HELP, short_help="Try a training script in seconds, without Spark.")
@click.argument("python_script_path", type=FILE, required=False, metavar="[SCRIPT]")
@declared_option("--builtin", _TRAIN["builtin"], metavar="NAME")
@click.option("--data", required=True, metavar="REF", help="format.`path` as in MLSQL, or a path with a known ending.")
@pairs_option("--option", "options", help="Spark's reader option, such as header=true.")
@pairs_option("--fit-param", "fit_params", help="A fit parameter; resource.x=PATH too.")
@click.option("--validate", "fraction", type=float, metavar="FRACTION", help="Hold this part of the rows out.")
@click.option("--validate-data", metavar="REF", help="Validate with these data instead.")
@declared_option("--stratify", _TRAIN["stratify"], is_flag=True)
@declared_option("--feature-cols", _TRAIN["feature_columns"], metavar="NAMES")
@declared_option("--label-col", _TRAIN["label_column"], metavar="NAME")
@declared_option(
    "--data-format",
    own_options(FileFeed)["format"],
    type=click.Choice(["json", "parquet", "csv"]),
    help="Format of the script's data files; by default Parquet, and JSON for a script that reads the files itself.",
)
@declared_option("--python", _PYTHON["path"], type=FILE, metavar="PATH", help="Interpreter of the script; mlsql's by default.")
@declared_option(
    "--requirements",
    _PYTHON["requirements"],
    type=FILE,
    metavar="FILE",
    help="A requirements file. The script runs in an environment with these packages, which is kept for the next time.",
)
@declared_option("--python-param", _PYTHON["flags"], multiple=True, metavar="FLAGS")
@pairs_option("--env", "envs", help=_PYTHON["envs"].doc)
@declared_option("--seed", _PYTHON["seed"], metavar="N")
@declared_option("--timeout", replace(_PYTHON["timeout"], argument="fit_timeout"), metavar="SECONDS")
@click.option("--model-dir", type=FILE, metavar="DIR", help="Keep the model there; a new or empty folder.")
@declared_option(
    "--keep-local-directory",
    _TRAIN["keep_local_directory"],
    is_flag=True,
    help="Keep the script's folder, and print where it is.",
)
@click.option("--spark", "use_spark", is_flag=True, help="Load and write the data with a local Spark.")
@json_option
def fit(as_json: bool, **given: Any) -> int:
    """Train one script on this machine."""
    from mlsql_runtime.local.fit import fit as fit_locally

    def log(text: str) -> None:
        echo_progress(f"[mlsql] {text}", to_stderr=as_json)

    def show(event: ScriptEvent) -> None:
        echo_progress(f"[fit 0] {event.text}", to_stderr=as_json)

    request = _make_request(**given)
    with handle_signals():
        report = fit_locally(request, log, show)
    if as_json:
        print_json(report.to_document())
    else:
        click.echo()
        for name, text in _list_facts(report):
            click.echo(f"{name:<8} {text}")
    return OK if report.result.is_successful else FAILED


def _make_request(
    *,
    data: str,
    options: dict[str, str],
    fraction: float | None,
    validate_data: str | None,
    model_dir: str | None,
    use_spark: bool,
    **given: Any,
) -> FitRequest:
    """Return the parameters of the command as a statement, which checks them, and its data."""
    from mlsql_runtime.local.data_source import parse_data_source
    from mlsql_runtime.local.request import TABLE, VALIDATION, FitRequest
    from mlsql_runtime.storage.location import Location

    arguments = CommandArguments({**given, "python_param": " ".join(given["python_param"]), "validate_data": fraction})
    fields = read_options(Train, arguments)
    del fields["enable_data_local"]
    feed = FileFeed(**read_options(FileFeed, arguments))
    statement = Train(
        **{**fields, "validate_table": VALIDATION if validate_data else None, "validate_fraction": fraction},
        table=TABLE,
        model_path=model_dir or "none",
        feed=feed,
    )
    source = parse_data_source(data, "--data", options)
    validate = None
    if validate_data:
        validate = parse_data_source(validate_data, "--validate-data", {})
        if validate.format == source.format:
            validate = parse_data_source(validate_data, "--validate-data", options)
    return FitRequest(
        statement=statement,
        data=source,
        validate=validate,
        data_format=feed.format,
        model_dir=Location.of(model_dir) if model_dir else None,
        use_spark=use_spark,
    )


def _list_facts(report: FitReport) -> Iterator[tuple[str, str]]:
    """Yield names and values of the report for people."""
    record = report.result.record
    yield "status", f"{record.status}: {record.message}" if record.message else record.status
    if record.score is not None:
        yield "score", format_value(record.score)
    if record.metrics:
        yield "metrics", ", ".join(f"{name} {format_value(value, 'none')}" for name, value in record.metrics.items())
    yield "rows", f"{report.rows}, and {report.validate_rows} to validate with" if report.validate_rows else str(report.rows)
    if report.result.is_successful:
        for at, file in enumerate(report.files):
            yield "" if at else "model", f"{file.path}  {format_size(file.size)}"
        yield "", f"in {report.model_dir}" if report.model_dir else "not kept; --model-dir DIR keeps it"
    else:
        yield "output", "above" + (f", in full in {report.folder}/log" if report.folder else "")
    if report.folder:
        yield "folder", f"{report.folder}; remove it when you no longer need it"
    seconds = report.seconds
    yield "seconds", f"data {seconds.data:.2f}, script {seconds.script:.2f}, in all {seconds.total:.2f}"
