"""Files with Spark's classes: written once, used by jobs of the same Java and Spark, never in the way."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlsql_runtime.cli.main import cli
from mlsql_runtime.submission.class_archive import SETTING, find_folder, use_archives
from mlsql_runtime.submission.spark_submit import build_environment

FILES = Path(__file__).parents[3] / ".work"


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a job that the user has given no options of Java, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("SPARK_SUBMIT_OPTS", "SPARK_LAUNCHER_OPTS", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return build_environment("test")


def _write(env: dict[str, str]) -> Path:
    folder = find_folder(env)
    assert folder is not None
    folder.mkdir(parents=True)
    for name in ("spark.jsa", "launcher.jsa"):
        (folder / name).write_bytes(b"classes")
    return folder


def test_jobs_use_the_files_of_their_installation(starts_jvm: None, env: dict[str, str], tmp_path: Path) -> None:
    used = dict(env)
    use_archives(used, {})
    assert used == env
    folder = _write(env)
    use_archives(used, {})
    assert used["SPARK_SUBMIT_OPTS"].startswith(f"-XX:SharedArchiveFile={folder}/spark.jsa")
    assert used["SPARK_LAUNCHER_OPTS"].startswith(f"-XX:SharedArchiveFile={folder}/launcher.jsa")
    for changed, conf in (
        (env | {"SPARK_CONF_DIR": str(tmp_path)}, {}),
        (env, {SETTING: "false"}),
        (env | {"PATH": str(tmp_path)}, {}),
    ):
        other = dict(changed)
        use_archives(other, conf)
        assert other == changed
    own = env | {"SPARK_SUBMIT_OPTS": "-Xshare:off -Dx=y", "SPARK_LAUNCHER_OPTS": "-Dz=1"}
    use_archives(own, {})
    assert own["SPARK_SUBMIT_OPTS"] == "-Xshare:off -Dx=y"
    assert own["SPARK_LAUNCHER_OPTS"].startswith("-Dz=1 -XX:SharedArchiveFile=")


def test_files_of_another_user_are_not_used(starts_jvm: None, env: dict[str, str]) -> None:
    if os.getuid() != 0:
        pytest.fail("run the tests as root, or in a container: files are given to another user")
    os.chown(_write(env), 65534, 65534)
    used = dict(env)
    use_archives(used, {})
    assert used == env


def test_java_uses_what_the_command_writes(starts_jvm: None, env: dict[str, str]) -> None:
    """The command has written the files of the tests themselves; see scripts/setup.sh."""
    options = f"-XX:SharedArchiveFile={FILES}/launcher.jsa -Xshare:on"  # Java ends if it cannot use the file
    launcher = env | {"SPARK_LAUNCHER_OPTS": options}
    done = subprocess.run(["spark-submit", "--version"], env=launcher, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (FILES / "spark.jsa").stat().st_size > 1 << 20


def test_without_java_the_command_says_so(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    result = CliRunner().invoke(cli, ["share-classes"])
    assert result.exit_code != 0
    assert "there is no Java, or no Spark; mlsql doctor says what is missing" in str(result.exception or result.output)
