"""The files by which others join the project say what is true: they name targets, tools and modules that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
_MAKE = re.compile(r"\bmake ((?:[a-z-]+)(?: [a-z-]+)*)")
_MODULE = re.compile(r"`((?:mlsql|airflow_provider_mlsql|python_fun)\w*(?:/\w+)*\.py)`")


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_steps() -> Iterator[dict[str, Any]]:
    for path in WORKFLOWS:
        for job in read_yaml(path)["jobs"].values():
            yield from job["steps"]


def read_python_versions() -> list[str]:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    prefix = "Programming Language :: Python :: 3."
    return [f"3.{each.removeprefix(prefix)}" for each in declared if each.startswith(prefix)]


def test_workflows_run_only_make_targets_that_exist() -> None:
    commands = [step["run"] for step in read_steps() if "run" in step]
    assert commands
    for command in commands:
        program, target, *_ = command.split()
        assert program == "make"
        assert target in TARGETS
    assert {"make check", "make test", "make release-check"} <= set(commands)


def test_workflows_use_actions_that_exist_here() -> None:
    own = {step["uses"] for step in read_steps() if step.get("uses", "").startswith("./")}
    assert own
    assert all((ROOT / name / "action.yml").is_file() for name in own)


def test_workflows_run_every_python_and_every_set_of_versions() -> None:
    jobs = read_yaml(ROOT / ".github/workflows/tests.yml")["jobs"]
    versions = read_python_versions()
    assert jobs["check"]["strategy"]["matrix"]["python"] == versions
    assert all(f'"{version}"' in jobs["test"]["strategy"]["matrix"]["python"] for version in versions)
    sets = re.findall(r'VersionSet\("([\w.-]+)"', (ROOT / "scripts/test_versions.py").read_text())
    assert jobs["versions"]["strategy"]["matrix"]["set"] == sets


def test_hooks_run_the_tools_of_make_lint() -> None:
    hooks = [hook for repo in read_yaml(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text()
    programs = {line.split()[0] for line in re.findall(r"\$\(BIN\)/([\w-]+.*)", makefile[makefile.index("\ntypes:") :][:300])}
    run = set()
    for hook in hooks:
        program, *arguments = hook["entry"].split()
        if program == "make":
            assert arguments == ["types"]
            run.add("mypy")
        else:
            assert (ROOT / program).parent == ROOT / ".venv/bin"
            run.add(Path(program).name)
    assert run == programs


def test_tools_are_pinned() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    names = {canonicalize_name(Requirement(each).name) for each in declared} - {"airflow-provider-mlsql"}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert names <= {canonicalize_name(line.partition("==")[0]) for line in lines}


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    command = [sys.executable, str(ROOT / "scripts/release_check.py"), "changelog"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_changelog_has_one_line_for_each_change() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entries = text[text.index("\n## ") :].splitlines()
    assert [line for line in entries if line and not line.startswith(("#", "- "))] == []
    headings = {line for line in entries if line.startswith("### ")}
    assert headings <= {f"### {name}" for name in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")}


@pytest.mark.parametrize("name", ["SECURITY.md", "CONTRIBUTING.md"])
def test_documents_name_modules_that_exist(name: str) -> None:
    named = set(_MODULE.findall((ROOT / name).read_text(encoding="utf-8")))
    assert named
    assert sorted(each for each in named if not (ROOT / each).is_file()) == []


@pytest.mark.parametrize("name", ["SECURITY.md", "CONTRIBUTING.md", ".github/pull_request_template.md"])
def test_documents_name_make_targets_that_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = {
        match.split()[0]
        for code in re.findall(r"`([^`]+)`|^    (.*)$", text, re.MULTILINE)
        for match in _MAKE.findall("".join(code))
    }
    assert named
    assert named <= TARGETS


def test_issue_forms_ask_for_something() -> None:
    forms = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    for path in forms:
        form = read_yaml(path)
        fields = [field["id"] for field in form["body"] if field["type"] != "markdown"]
        assert {"name", "description", "body"} <= form.keys()
        assert fields
        assert len(fields) == len(set(fields))
