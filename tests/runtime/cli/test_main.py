from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from mlsql_runtime import __version__, errors
from mlsql_runtime.cli.main import cli, main
from mlsql_runtime.cli.process import choose_exit_code
from mlsql_runtime.errors import MLSQLError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions

MLSQL = str(Path(sys.executable).with_name("mlsql"))
Capture = pytest.CaptureFixture[str]


def mlsql(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real console script."""
    env = {**os.environ, **environment}
    return subprocess.run([MLSQL, *argv], capture_output=True, text=True, timeout=120, env=env)


def commands(group: click.Group = cli, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command and group below."""
    for name, command in group.commands.items():
        yield (*prefix, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*prefix, name))


# -- help


def test_without_arguments_it_teaches(capsys: Capture) -> None:
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: mlsql [OPTIONS] COMMAND [ARGS]...\n")
    assert "First steps" in out
    assert "Exit codes:" in out
    assert err == ""
    for name, *below in commands():
        assert below or f"\n  {name}" in out


def test_a_group_without_arguments_teaches(capsys: Capture) -> None:
    assert main(["models"]) == 0
    assert "Usage: mlsql models [OPTIONS] PATH | COMMAND [ARGS]...\n" in capsys.readouterr().out


def test_help_is_printed_however_it_is_asked_for(capsys: Capture) -> None:
    for argv in (["--help"], ["-h"], ["models", "-h"]):
        assert main(argv) == 0
        out, err = capsys.readouterr()
        assert (err, out[:12]) == ("", "Usage: mlsql"), argv


def test_help_is_printed_by_the_console_script() -> None:
    done = mlsql()
    assert (done.returncode, done.stderr, done.stdout[:12]) == (0, "", "Usage: mlsql")


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_fits_80_columns_and_shows_an_example(
    words: tuple[str, ...], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # no wider than that on any terminal
    assert main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    usage, text = out.split("\n", 1)
    assert usage.startswith(f"Usage: mlsql {' '.join(words)} ")
    assert max(map(len, out.splitlines())) <= 80
    assert f"mlsql {words[0]} " in text


def test_the_version_is_the_packages(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mlsql, version {__version__}\n"


# -- mistakes


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["modles"], "Did you mean 'models'?"),
        (["rolback", "/m", "jack"], "Did you mean 'rollback'?"),
        (["functions", "/m", "--jsn"], "Did you mean '--json'?"),
        (["models", "/m", "--limt", "3"], "Did you mean '--limit'?"),
        (["functions"], "Missing argument 'PATH'"),
        (["models", "show", "/m", "x"], "'x' is not a valid integer"),
        (["models", "show", "/m", "0"], "0 is not in the range x>=1"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["--nonsense"], "No such option"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_names_the_nearest(argv: list[str], message: str, capsys: Capture) -> None:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError, 2),
        (errors.FormatError, 2),
        (errors.ScriptNotFound, 2),
        (errors.VersionNotFound, 2),
        (errors.KafkaRefused, 2),
        (errors.IntegrityError, 1),
        (errors.ScriptFailed, 1),
        (errors.TrainingFailed, 1),
        (errors.StorageError, 3),
        (errors.KafkaUnavailable, 3),
        (errors.JobFailed, 3),
    ],
)
def test_an_errors_class_decides_the_exit_code(error: type[MLSQLError], code: int) -> None:
    assert choose_exit_code(error("x")) == code


def test_exit_codes_reach_the_shell(local_root: Location, publish: Callable[..., object], package: Callable[..., object]) -> None:
    publish(local_root)
    assert mlsql("models", local_root.uri).returncode == 0
    (local_root / "_model_1/model/0/model.bin").write(b"another")
    failed = mlsql("models", "verify", local_root.uri)
    assert failed.returncode == 1
    wrong = mlsql("models", "show", local_root.uri, "7")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("mlsql: ")
    assert "Traceback" not in failed.stderr + wrong.stderr


def test_a_full_disk_for_the_output_is_no_error_of_ours(local_root: Location, publish: Callable[..., object]) -> None:
    publish(local_root)
    command = [sys.executable, "-m", "mlsql_runtime.cli.main", "models", local_root.uri]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "mlsql: the output cannot be written: No space left on device\n")


def test_storage_that_cannot_be_reached_ends_with_3() -> None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE")
    environment = {name: "" for name in names if name in os.environ}
    done = mlsql(
        "models",
        "s3://models/digits",
        **environment,
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1].startswith("mlsql: s3://models/digits cannot be ")
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_gets_no_traceback(local_root: Location, publish: Callable[..., object]) -> None:
    for _ in range(30):
        publish(local_root)
    done = subprocess.run(
        ["bash", "-c", f"{MLSQL} models show {local_root.uri} --json | head -1"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


# -- completion


@pytest.fixture
def stored(local_root: Location, publish: Callable[..., object], package: Callable[..., object]) -> str:
    """A model path with two versions and two functions."""
    for name in ("jack", "jill"):
        publish(local_root)
        functions.set_current(local_root, package(local_root, name, 1))  # type: ignore[arg-type]
    return local_root.uri


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Callable[[str, str], list[str]]:
    """Return the completions of the last word of a line, without their descriptions."""

    def words_for(shell: str, line: str) -> list[str]:
        for name, value in completion_variables(shell, line).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            main([])
        out, err = capsys.readouterr()
        assert err == ""
        return parse_completions(shell, out)

    return words_for


def completion_variables(shell: str, line: str) -> dict[str, str]:
    """Return the environment by which a shell asks for completions of the last word of a line."""
    words = line.split(" ")
    word = words[-1] if shell == "fish" else str(len(words) - 1)
    return {"COMP_WORDS": line, "COMP_CWORD": word, "_MLSQL_COMPLETE": f"{shell}_complete"}


def parse_completions(shell: str, out: str) -> list[str]:
    lines = out.strip("\n").splitlines()
    if shell == "zsh":
        return [f"{kind},{value}" for kind, value in zip(lines[::3], lines[1::3], strict=True)]
    return [line.partition("\t")[0] for line in lines]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_words(shell: str, stored: str, complete: Callable[[str, str], list[str]]) -> None:
    assert complete(shell, "mlsql mo") == ["plain,models"]
    assert complete(shell, "mlsql models s") == ["plain,show"]
    assert complete(shell, "mlsql models /mod") == ["dir,/mod"]
    assert complete(shell, "mlsql models show /mod") == ["dir,/mod"]
    assert complete(shell, f"mlsql models {stored} --lim") == ["plain,--limit"]
    assert complete(shell, f"mlsql models show {stored} ") == ["plain,2", "plain,1"]
    assert complete(shell, f"mlsql functions {stored} ja") == ["plain,jack"]
    assert complete(shell, f"mlsql rollback {stored} j") == ["plain,jack", "plain,jill"]
    assert complete(shell, "mlsql rollback s3://nowhere/models j") == []
    assert complete(shell, "mlsql functions /does/not/exist j") == []
    assert complete(shell, "mlsql completion f") == ["plain,fish"]
    for command in ("check", "run", "fit", "run --var-file", "fit --model-dir"):
        assert complete(shell, f"mlsql {command} jo") == ["file,jo"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_console_script_completes_words(shell: str, stored: str) -> None:
    for line, expected in {
        f"mlsql rollback {stored} j": ["plain,jack", "plain,jill"],
        "mlsql rollback s3://nowhere/models j": [],
    }.items():
        done = mlsql(**completion_variables(shell, line))
        assert (done.stderr, parse_completions(shell, done.stdout)) == ("", expected)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_names_the_command_and_its_variable(shell: str, capsys: Capture) -> None:
    assert main(["completion", shell]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"_MLSQL_COMPLETE={shell}_complete" in out
    assert {"bash": "complete ", "zsh": "#compdef mlsql", "fish": "complete --no-files --command mlsql"}[shell] in out


def test_the_bash_script_completes_in_a_real_bash(tmp_path: Path, stored: str) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(mlsql("completion", "bash").stdout)
    bash = shutil.which("bash")
    assert bash is not None
    checked = subprocess.run([bash, "-n", str(script)], capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")
    code = (
        f"source {script}; COMP_WORDS=(mlsql functions {stored} j); COMP_CWORD=3; _mlsql_completion {MLSQL}; "
        'printf "%s\\n" "${COMPREPLY[@]}"; complete -p mlsql'
    )
    done = subprocess.run([bash, "--norc", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["jack", "jill", "complete -o nosort -F _mlsql_completion mlsql"], done.stderr
