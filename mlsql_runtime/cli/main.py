"""``mlsql``: the commands, and the exit code of each error."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import get_completion_class

from mlsql_runtime import __version__
from mlsql_runtime.cli.check import check
from mlsql_runtime.cli.doctor import doctor
from mlsql_runtime.cli.exchange import export, import_model
from mlsql_runtime.cli.fit import fit
from mlsql_runtime.cli.functions import functions, rollback
from mlsql_runtime.cli.models import models
from mlsql_runtime.cli.process import INTERNAL, INTERRUPTED, OK, UNAVAILABLE, UNREAD, WRONG_INPUT, choose_exit_code
from mlsql_runtime.cli.run import run
from mlsql_runtime.cli.share_classes import share_classes
from mlsql_runtime.cli.tracking import track
from mlsql_runtime.cli.verification import verify
from mlsql_runtime.cli.version_details import diff, show
from mlsql_runtime.errors import MLSQLError

_HELP = """\b
Train your own Python algorithms on Spark data, register them as SQL
functions, and predict with them.

\b
First steps, from a folder with a training script:
  mlsql fit train.py --data 'libsvm.`sample_libsvm_data.txt`' \\
      --fit-param batchSize=1000 --validate 0.2     try it, without Spark
  mlsql check job.mlsql --var day=2024-05-01        all errors of a script
  mlsql run job.mlsql --var day=2024-05-01          run it on Spark
  mlsql models /models/spam                         versions and scores
  mlsql functions /models/spam                      registered functions
  mlsql doctor --script train.py                    what a host lacks
"""
_EPILOG = """\b
Exit codes:
  0    done
  1    a script, a training or a verification failed
  2    the command line, the script or its input is wrong
  3    Spark, storage or Kafka failed: trying again may help
  70   an error in mlsql itself
  130  interrupted
  141  nobody read the output to its end
"""
_SHELLS = ("bash", "zsh", "fish")


@click.group(
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, prog_name="mlsql")
def cli() -> None:
    """Group the commands."""


@cli.command(short_help="Print a completion script for a shell.")
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    \b
    bash:  eval "$(mlsql completion bash)"    in ~/.bashrc
    zsh:   eval "$(mlsql completion zsh)"     in ~/.zshrc
    fish:  mlsql completion fish > ~/.config/fish/completions/mlsql.fish
    """
    completer = get_completion_class(shell)
    assert completer is not None
    click.echo(completer(cli, {}, "mlsql", "_MLSQL_COMPLETE").source())


for _command in (run, check, fit, models, functions, rollback, doctor, share_classes):
    cli.add_command(_command)
for _command in (show, diff, verify, export, import_model, track):
    models.add_command(_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        code = cli.main(args=None if argv is None else list(argv), prog_name="mlsql", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return OK
    except click.ClickException as error:
        error.show()
        return WRONG_INPUT
    except SystemExit as error:
        if error.code != 1:  # of completion
            raise
        return UNREAD  # click ends so when nobody reads the output any more
    except (click.Abort, KeyboardInterrupt):
        click.echo("mlsql: interrupted", err=True)
        return INTERRUPTED
    except MLSQLError as error:
        click.echo(f"mlsql: {error.message}", err=True)
        return choose_exit_code(error)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            click.echo(f"mlsql: the output cannot be written: {error.strerror}", err=True)
            return UNAVAILABLE
        if os.environ.get("MLSQL_DEBUG"):
            raise
        click.echo(
            f"mlsql: {type(error).__name__}: {error}; this is an error in mlsql: run it again with MLSQL_DEBUG=1 and report the "
            "traceback",
            err=True,
        )
        return INTERNAL
    return code if isinstance(code, int) else OK


if __name__ == "__main__":
    sys.exit(main())
