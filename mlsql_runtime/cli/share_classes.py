"""``mlsql share-classes``: write what lets Spark start faster on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from mlsql_runtime.cli.output import format_size


@click.command("share-classes", short_help="Let Spark start faster on this machine.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write; by default the user's cache, where jobs look.",
)
def share_classes(folder: Path | None) -> None:
    """Write the classes of Spark into files, with which jobs start in about half the time.

    Run it once for each installation of Java and Spark, as the user who runs the jobs: on an Airflow worker, or when its image is
    built. It runs a small Spark job, about a minute, and writes about 180 MB into ~/.cache/mlsql, or below XDG_CACHE_HOME. Jobs
    with the Spark property spark.mlsql.shareClasses=false do not use them.

    \b
    Examples:
      mlsql share-classes
      mlsql share-classes --folder /opt/classes
    """
    from mlsql_runtime.submission.class_archive import write_archives

    click.echo("running a small Spark job …", err=True)
    written = write_archives(folder)
    size = sum(path.stat().st_size for path in written.glob("*.jsa"))
    click.echo(f"{written}: {format_size(size)}; later jobs start with it")
