"""``mlsql models track``: send versions to an MLflow tracking server."""

from __future__ import annotations

import click

from mlsql_runtime.cli.options import json_option, path_argument, version_option
from mlsql_runtime.cli.output import print_json, print_table
from mlsql_runtime.cli.process import choose_exit_code, handle_signals


@click.command(short_help="Send versions to an MLflow server.")
@path_argument
@version_option
@click.option(
    "--tracking-uri",
    required=True,
    envvar="MLFLOW_TRACKING_URI",
    metavar="URI",
    help="The server; MLFLOW_TRACKING_URI by default.",
)
@click.option("--experiment", metavar="NAME", help="The experiment; one named after the model path by default.")
@click.option("--registered-model", "model", metavar="NAME", help="Set the aliases of functions on this registered model, too.")
@json_option
@click.pass_context
def track(
    context: click.Context,
    path: str,
    version: int | None,
    tracking_uri: str,
    experiment: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Send versions to an MLflow server, as a training with mlflow_tracking_uri does.

    Without --version, all versions whose trainings have ended; those that the
    server has already are not sent again. One that cannot be sent is named, and
    the others are sent. Credentials are taken from MLflow's variables, such as
    MLFLOW_TRACKING_TOKEN.

    \b
    Example:
      mlsql models track /models/spam --tracking-uri http://mlflow:5000
    """
    from mlsql_runtime.plan.tracking import check_tracking_uri
    from mlsql_runtime.store.versions import open_store
    from mlsql_runtime.tracking.send_versions import send_versions

    check_tracking_uri(tracking_uri)
    store = open_store(path)
    with handle_signals():
        sent = send_versions(store, version, tracking_uri, experiment, model)
    if as_json:
        versions = [vars(each) | {"problem": each.problem and each.problem.message} for each in sent]
        print_json({"model_path": store.root.uri, "tracking_uri": tracking_uri, "versions": versions})
    else:
        rows = [(each.version, each.run, "; ".join(each.aliases)) for each in sent]
        print_table(("version", "run", "aliases"), rows, right=("version",))
    problems = [each for each in sent if each.problem is not None]
    for each in problems:
        assert each.problem is not None
        what = "is not sent" if each.run is None else "is sent, but not registered"
        click.echo(f"mlsql: warning: version {each.version} {what}: {each.problem.message}", err=True)
    if problems:
        context.exit(max(choose_exit_code(each.problem) for each in problems if each.problem is not None))
