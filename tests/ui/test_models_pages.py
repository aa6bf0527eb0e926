"""The pages of models, as somebody finds them in Airflow's navigation whose retraining was refused at three in the morning."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect
from support.deployment import STRANGER, USER, Deployment
from support.waiting import WAIT_SECONDS
from support.workbench import SAMPLE, TESTS

DAG = "trains_spam"
SCREENSHOTS = TESTS.parent / ".work" / "screenshots"
METRIC = "<img src=x onerror=alert(1)>"
FILE = "<img src=x onerror=alert(2)>"
TRAIN = f"""
import pathlib
import mlsql
import mlsql_model

score = mlsql.fit_param["score"]
print("<script>alert(3)</script> is a line of the log")
for step in range(100):
    mlsql.report(step=step, loss=1 / (1 + step * float(mlsql.fit_param.get("alpha", 1))), **{{{METRIC!r}: step}})
if not score:
    raise KeyError("<b>weight")
mlsql_model.sk_save_model(1)
pathlib.Path(mlsql.internal_system_param["tempModelLocalPath"], {FILE!r}).touch()
print(f"mlsql_validation_score:{{score}}")
"""
PREDICT = """
import numpy
import python_fun

python_fun.batch_udf(lambda X, model: numpy.full(X.shape[0], float(model)))
"""


@dataclass(frozen=True)
class Trained:
    """A model that a run of the DAG has trained."""

    path: str
    run: str

    @property
    def page(self) -> str:
        return f"/mlsql/model?path={quote(self.path, safe='')}"


@pytest.fixture(scope="module")
def spam(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Version 2 was refused, the training of 4 failed, jack was rolled back from 3 to 1, by the command that the page gives."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "train.py").write_text(TRAIN)
    (folder / "predict.py").write_text(PREDICT)
    path = str(folder / "<b>spam")
    conf = {"model_path": path, "data": SAMPLE, **{name: str(folder / f"{name}.py") for name in ("train", "predict")}}
    run = str(deployment.start(DAG, conf).raise_for_status().json()["dag_run_id"])
    deployment.ended(DAG, run, "failed")
    states = {task["task_id"]: task["state"] for task in deployment.tasks(DAG, run)}
    assert states == {
        "train": "success",
        "register_1": "success",
        "retrain": "failed",
        "register_2": "skipped",
        "register_3": "success",
        "wait": "failed",
    }, deployment.logs(DAG, run)
    return Trained(path, run)


class Walk:
    """A walk from Airflow's navigation to the answer of a question."""

    def __init__(self, page: Page) -> None:
        page.get_by_role("button", name="Browse").click()
        with page.expect_popup() as opened:
            page.get_by_role("menuitem", name="Models").click()
        self.page = opened.value
        self.problems: list[str] = []
        self._first = self.page.url
        self._clicks = 1
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        self.page.on("dialog", lambda dialog: self.problems.append(f"a script of a name ran: {dialog.message}"))

    def ask(self, question: str) -> None:
        """Go back to what the navigation leads to."""
        self.page.goto(self._first)
        self._clicks = 1

    def click(self, link: Locator) -> None:
        link.click()
        self._clicks += 1
        assert self._clicks <= 3

    @property
    def text(self) -> Locator:
        return self.page.get_by_role("main")


# The words of tables of which a line ends within the word.
BROKEN_WORDS = """() => [...document.querySelectorAll("th, td")].flatMap((cell) => {
  const found = [], texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), range = document.createRange();
  while (texts.nextNode()) {
    for (const word of texts.currentNode.data.matchAll(/\\w{2,40}/g)) {
      range.setStart(texts.currentNode, word.index);
      range.setEnd(texts.currentNode, word.index + word[0].length);
      const ends = [...range.getClientRects()].map((box) => box.bottom);
      if (Math.max(...ends) - Math.min(...ends) > 8) found.push(word[0]);
    }
  }
  return found;
})"""


def take_screenshots(page: Page, name: str) -> None:
    """Take pictures of a page, narrow and wide, light and dark; none may be wider than its window, or break words in tables."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for width in (400, 1400):
            page.set_viewport_size({"width": width, "height": 1000})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate(BROKEN_WORDS) == []
            page.screenshot(path=SCREENSHOTS / f"{name}_{width}_{scheme}.png", full_page=True)


def roll_back(command: str) -> None:
    """Run the command of the page as somebody who has copied it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(f"{command} --reason 'too slow'", shell=True, env={**os.environ, "PATH": path}, check=True)


def test_each_question_is_answered_within_three_clicks(deployment: Deployment, page: Page, spam: Trained) -> None:
    walk = Walk(page)
    models, text = walk.page, walk.text
    row = models.get_by_role("row").filter(has_text=spam.path)
    model = row.get_by_role("link", name="<b>spam")

    walk.ask("which models are there, and what are they now?")
    expect(row).to_contain_text("jack is version 3 (1.5)")
    expect(row.get_by_role("img")).to_be_visible()  # the scores, as a small line

    walk.ask("what can I roll back to?")
    walk.click(model)
    command = models.locator("pre.command").first.text_content() or ""
    assert shlex.split(command) == ["mlsql", "rollback", spam.path, "jack", "--to", "1"]
    models.get_by_role("button", name="Copy").click()
    roll_back(command)

    walk.ask("what was refused, and what failed?")
    expect(row).to_contain_text("jack is version 1 (1)")
    expect(row).to_contain_text("jack: version 2 (0.94)")
    expect(row).to_contain_text("version 4: group 0: it ended with exit code 1: KeyError: '<b>weight' (train.py:11)")
    take_screenshots(models, "models")

    walk.ask("what does jack mean now, since when, by whom and why?")
    walk.click(model)
    jack = models.get_by_role("region", name="jack")
    expect(jack).to_contain_text("version 1")
    expect(jack).to_contain_text("Rolled back because: too slow")
    expect(jack.get_by_role("row").nth(1)).to_contain_text("rolled back, current")
    expect(jack.get_by_role("row").last).to_contain_text(USER)  # who has started the run

    walk.ask("is the score falling, and how often was it refused this week?")
    walk.click(model)
    expect(text).to_contain_text("score 1.5, higher is better: better than version 2 (0.94); the best is version 3 (1.5)")
    expect(jack).to_contain_text("1 time")
    expect(models.locator("figure canvas")).to_be_visible()
    for mark in ("refused", "current", "failed", "asked for by the gate"):
        expect(models.locator(".u-legend")).to_contain_text(mark)
    take_screenshots(models, "model")

    walk.ask("what changed between two versions?")
    walk.click(model)
    walk.click(models.get_by_role("button", name="Compare"))
    expect(models.get_by_role("row", name="best score 1 1.5")).to_be_visible()

    walk.ask("why was it refused?")
    walk.click(row.get_by_role("link", name="version 2"))
    verdict = models.locator(".verdict")
    expect(verdict).to_contain_text("jack stays at version 1 (1): refused")
    expect(verdict).to_contain_text("version 2, group 0 has score 0.94; expected better than 1.0 of the current version 1")
    take_screenshots(models, "refused")

    walk.ask("why did it fail?")
    walk.click(row.get_by_role("link", name="version 4"))
    expect(verdict.first).to_contain_text("The training failed. group 0: it ended with exit code 1: KeyError: '<b>weight'")
    take_screenshots(models, "failed")
    walk.click(models.get_by_role("link", name="log", exact=True))
    expect(models.get_by_text("<script>alert(3)</script> is a line of the log")).to_be_visible()

    walk.ask("how did the groups do, step by step, and who has trained them?")
    walk.click(row.get_by_role("link", name="version 1"))
    for chart in ("score over alpha", "loss", METRIC):
        expect(models.get_by_role("figure", name=chart, exact=True).locator("canvas")).to_be_visible()
    expect(models.get_by_role("cell", name=f"model/0/{FILE}", exact=True)).to_be_visible()
    take_screenshots(models, "version")
    walk.click(models.get_by_role("link", name=f"{DAG}.train"))
    expect(models.get_by_role("heading", name="train", exact=True)).to_be_visible()
    assert walk.problems == []


def test_every_task_leads_to_its_model_and_its_version(deployment: Deployment, spam: Trained) -> None:
    versions = {"train": 1, "register_1": 1, "retrain": 4, "register_2": 2, "register_3": 3, "wait": 4}
    for task, version in versions.items():
        links = deployment.links(DAG, spam.run, task)
        model, page = deployment.page(str(links["Model"])), deployment.page(str(links["Model version"]))
        assert (model.status_code, httpx.URL(model.headers["location"]).params["path"]) == (303, spam.path)
        assert [one["version"] for one in page.json()["versions"]] == [version]
        assert page.json()["versions"][0]["verdict"]


def test_without_scripts_everything_but_the_drawing_is_there(deployment: Deployment, spam: Trained) -> None:
    page = deployment.page(spam.page, Accept="text/html")
    assert page.status_code == 200
    assert "<figcaption>score over versions</figcaption>" in page.text
    assert '<td class="number">0.94</td>' in page.text
    assert "<b>spam" not in page.text
    script = deployment.page("/mlsql/static/charts.js")
    assert (script.status_code, "immutable" in script.headers["cache-control"]) == (200, True)
    assert deployment.page("/mlsql/static/../app.py").status_code == 404


def test_a_browser_without_a_cookie_loads_pages_with_the_token_that_airflows_ui_keeps(
    deployment: Deployment, page: Page, spam: Trained
) -> None:
    """As before Airflow 3.1.1, where the page for status 401 has this script."""
    browser = page.context.browser
    assert browser is not None
    with browser.new_context(base_url=deployment.url) as context:
        other = context.new_page()
        other.goto(spam.page)
        expect(other.get_by_role("heading", level=1)).to_have_text("Unauthorized")
        token = deployment.login["Authorization"].removeprefix("Bearer ")
        other.evaluate("token => localStorage.setItem('token', token)", token)
        other.add_script_tag(url="/mlsql/static/session.js")
        expect(other.get_by_role("heading", level=1)).to_have_text("<b>spam")
        expect(other.locator("figure canvas")).to_be_visible()


def test_models_are_found_by_part_of_their_path(deployment: Deployment, spam: Trained) -> None:
    for wanted, is_found in (("B>SPA", True), ("no such model", False)):
        page = deployment.page(f"/mlsql/models?wanted={quote(wanted)}")
        assert (spam.path in [model["model_path"] for model in page.json()["models"]]) is is_found
    assert "has “&lt;i&gt;” in it" in deployment.page("/mlsql/models?wanted=<i>", Accept="text/html").text


def test_a_list_says_how_much_there_is_and_wrong_parameters_are_explained(deployment: Deployment, spam: Trained) -> None:
    listed = deployment.page("/mlsql/models?page=99&wanted=spam").json()
    assert listed["count"] == len(listed["models"]) > 0
    assert (listed["page"], listed["pages"]) == (1, 1)
    wrong = f"/mlsql/version?path={quote(spam.path, safe='')}&version=abc"
    page = deployment.page(wrong, Accept="text/html")
    assert (page.status_code, page.headers["cache-control"]) == (422, "no-store")
    assert "version: Input should be a valid integer" in page.text
    assert deployment.page(wrong).json()["detail"].startswith("version: Input should be")


def test_somebody_who_must_not_see_the_dag_sees_nothing_of_its_models(deployment: Deployment, spam: Trained) -> None:
    deployment.run("names_models", {"one": {"model_path": spam.path, "version": 1}})  # whose XComs the stranger must not read
    allowed, stranger = deployment.login, deployment.log_in(STRANGER)
    pages: list[tuple[str, dict[str, str | int], int]] = [
        ("model", {"path": spam.path}, 404),
        ("version", {"path": spam.path, "version": 1}, 404),
        ("version", {"path": spam.path, "version": 1, "format": "json"}, 404),
        ("log", {"path": spam.path, "version": 1, "group": 0}, 404),
    ]
    with httpx.Client(base_url=f"{deployment.url}/mlsql/", timeout=WAIT_SECONDS) as client:
        for page, query, status in pages:
            assert client.get(page, params=query, headers=stranger).status_code == status
            assert client.get(page, params=query).status_code == 401
        for page in ("manifest", "model", "spark"):
            address = f"dags/{DAG}/runs/{quote(spam.run, safe='')}/tasks/train/{page}"
            assert client.get(address, headers=stranger).status_code == 403
            assert client.get(address).status_code == 401
        assert spam.path in [model["model_path"] for model in client.get("models", headers=allowed).json()["models"]]
        assert spam.path not in [model["model_path"] for model in client.get("models", headers=stranger).json()["models"]]
        assert client.get("version", params={"path": spam.path, "version": 1}, headers=allowed).status_code == 200
        assert client.get("model", params={"path": "/etc"}, headers=allowed).status_code == 404  # no task has named it


def test_a_task_that_has_named_no_model_says_so(deployment: Deployment, spam: Trained) -> None:
    run = deployment.run("names_models", {"one": {"model_path": spam.path, "version": 1}})
    tasks = f"/mlsql/dags/names_models/runs/{run}/tasks"
    assert deployment.page(f"{tasks}/one/model").status_code == 303
    assert deployment.page(f"{tasks}/listed/model").status_code == 404
    assert deployment.page(f"{tasks}/one/spark").status_code == 410
