"""The pages of models, as somebody finds them in Airflow's navigation whose retraining was refused at three in the morning."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect
from support.deployment import STRANGER, Deployment
from support.registrations import refuse, register
from support.stores import fail, publish
from support.waiting import WAIT_SECONDS
from support.workbench import TESTS

from mlsql_runtime.plan import TaskTry
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.rollback import choose_rollback, roll_back

DAG = "names_models"
SCREENSHOTS = TESTS.parent / ".work" / "screenshots"


@pytest.fixture(scope="module")
def root(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Location:
    """Version 2 was refused, the training of 3 failed, jack was rolled back from 4 to 1; a task of a DAG has named version 2."""
    root = Location.of(str(tmp_path_factory.mktemp("models") / "<b>spam"))
    run = deployment.run(DAG, {"one": {"model_path": root.uri, "version": 2}})
    task = TaskTry(dag_id=DAG, task_id="one", map_index=None, run_id=run, try_number=1)
    publish(root.uri, 1.0, metrics={"loss": 0.25}, task=task)
    register(root, "jack", 1, 1.0)
    publish(root.uri, 0.94, 0.5, metrics={"loss": 0.5}, task=task)
    refuse(root, "jack", 2)
    fail(root.uri, "KeyError: 'weight'", task=task)
    publish(root.uri, 1.5, metrics={"loss": 0.1}, task=task)
    register(root, "jack", 4, 1.5)
    roll_back(root, choose_rollback(root, "jack"), "ann", "too slow")
    return root


def take_screenshots(page: Page, name: str) -> None:
    """Take pictures of a page, narrow and wide, light and dark; none may be wider than its window."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for width in (400, 1400):
            page.set_viewport_size({"width": width, "height": 1000})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.screenshot(path=SCREENSHOTS / f"{name}_{width}_{scheme}.png", full_page=True)


def test_each_question_is_answered_within_three_clicks(page: Page, root: Location) -> None:
    problems: list[str] = []
    page.get_by_role("button", name="Browse").click()
    with page.expect_popup() as opened:
        page.get_by_role("menuitem", name="Models").click()
    models = opened.value
    models.on("pageerror", lambda error: problems.append(str(error)))
    models.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    row = models.get_by_role("row").filter(has=models.get_by_role("link", name=root.uri))
    expect(row).to_contain_text("jack is version 1 (1)")
    expect(row).to_contain_text("version 4 (1.5)")
    expect(row).to_contain_text("KeyError: 'weight'")
    expect(row.get_by_role("img")).to_be_visible()  # the scores, as a small line
    take_screenshots(models, "models")

    row.get_by_role("link", name=root.uri).click()
    text = models.get_by_role("main")
    expect(text).to_contain_text("is version 1 (score 1, function version 1) since")  # what jack means, since when, by whom
    expect(text).to_contain_text("by ann: too slow.")
    expect(text).to_contain_text("better than version 2 (0.94); the best is version 4 (1.5)")  # whether the score is falling
    expect(text).to_contain_text("Refused 1 time in the last 7 days.")
    expect(text).to_contain_text(f"mlsql rollback '{root.uri}' jack --to 2")  # what to roll back to
    expect(models.locator("figure canvas")).to_be_visible()
    expect(models.locator(".u-legend")).to_contain_text("current")
    take_screenshots(models, "model")
    models.get_by_role("button", name="Compare").click()  # what changed between versions 1 and 4
    expect(models.get_by_role("row", name="best score 1 1.5")).to_be_visible()
    take_screenshots(models, "version")
    models.go_back()

    models.get_by_role("row", name="version 2").get_by_role("link", name="version 2").last.click()  # why it was refused
    expect(models.locator(".verdict")).to_contain_text("jack stays at version 1 (1): refused")
    models.get_by_role("link", name="All versions").click()
    models.get_by_role("link", name="version 3").first.click()
    expect(models.locator(".verdict").first).to_contain_text("The training failed. KeyError: 'weight'")
    take_screenshots(models, "failed")
    assert problems == []
    models.get_by_role("link", name=f"{DAG}.one").click()  # back to the task
    expect(models.get_by_role("heading", name="one")).to_be_visible()


def test_without_scripts_everything_but_the_drawing_is_there(deployment: Deployment, root: Location) -> None:
    page = deployment.page(f"/mlsql/model?path={httpx.QueryParams({'p': root.uri})['p']}", Accept="text/html")
    assert page.status_code == 200
    assert "<figcaption>score over versions</figcaption>" in page.text
    assert '<td class="number">0.94</td>' in page.text
    assert "<b>spam" not in page.text
    script = deployment.page("/mlsql/static/charts.js")
    assert (script.status_code, "immutable" in script.headers["cache-control"]) == (200, True)
    assert deployment.page("/mlsql/static/../app.py").status_code == 404


def test_somebody_who_must_not_see_the_dag_sees_nothing_of_its_models(deployment: Deployment, root: Location) -> None:
    allowed, stranger = deployment.login, deployment.log_in(STRANGER)
    pages: list[tuple[str, dict[str, str | int], int]] = [
        ("model", {"path": root.uri}, 404),
        ("version", {"path": root.uri, "version": 1}, 404),
        ("version", {"path": root.uri, "version": 1, "format": "json"}, 404),
        ("log", {"path": root.uri, "version": 1, "group": 0}, 404),
    ]
    with httpx.Client(base_url=f"{deployment.url}/mlsql/", timeout=WAIT_SECONDS) as client:
        for page, query, status in pages:
            assert client.get(page, params=query, headers=stranger).status_code == status
            assert client.get(page, params=query).status_code == 401
        assert root.uri in [model["model_path"] for model in client.get("models", headers=allowed).json()["models"]]
        assert root.uri not in [model["model_path"] for model in client.get("models", headers=stranger).json()["models"]]
        assert client.get("version", params={"path": root.uri, "version": 1}, headers=allowed).status_code == 200
        assert client.get("model", params={"path": "/etc"}, headers=allowed).status_code == 404  # no task has named it


def test_a_task_leads_to_its_model(deployment: Deployment, root: Location) -> None:
    run = deployment.run(DAG, {"one": {"model_path": root.uri, "version": 1}})
    tasks = f"/mlsql/dags/{DAG}/runs/{run}/tasks"
    page = deployment.page(f"{tasks}/one/model")
    assert (page.status_code, httpx.URL(page.headers["location"]).params["path"]) == (303, root.uri)
    assert deployment.page(f"{tasks}/listed/model").status_code == 404
    assert deployment.page(f"{tasks}/one/spark").status_code == 410
