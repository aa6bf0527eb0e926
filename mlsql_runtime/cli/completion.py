"""``mlsql completion``: the script that makes a shell complete commands, options and paths."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print what makes a shell complete mlsql.")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(mlsql completion bash)"    in ~/.bashrc
    zsh:   eval "$(mlsql completion zsh)"     in ~/.zshrc
    fish:  mlsql completion fish > ~/.config/fish/completions/mlsql.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(context.find_root().command, {}, "mlsql", "_MLSQL_COMPLETE").source())
