"""The trigger form, filled in by a person, up to the score and the manifest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
from playwright.sync_api import Locator, Page, expect
from support.deployment import Deployment
from support.workbench import TESTS

DAG = "mlsql_trigger_with_params"
SCREENSHOTS = TESTS.parent / ".work" / "screenshots"
FIT_GROUPS = [{"alpha": 0.5, "batchSize": 50}]
QUERY = "select label, features from data\nwhere vec_size(features) = 692"


def write_json(page: Page, editor: Locator, value: object) -> None:
    """Replace what a field of JSON holds. The form puts an empty list back, and the editor closes what it takes for open."""
    editor.click()
    for key in ("Control+A", "Delete"):
        page.keyboard.press(key)
    expect(editor.locator(".view-lines")).to_have_text("[]")
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(json.dumps(value))
    for key in ("Control+Shift+End", "Delete"):
        page.keyboard.press(key)


def test_a_run_from_the_form_shows_its_score_and_its_manifest(deployment: Deployment, page: Page, tmp_path: Path) -> None:
    deployment.unpause(DAG)
    page.goto(f"/dags/{DAG}")
    page.get_by_role("button", name="Trigger Dag", exact=True).click()
    dialog = page.get_by_role("dialog")

    def section(name: str) -> None:
        dialog.get_by_role("button", name=name, exact=True).click()

    def fill(field: str, value: str) -> None:
        dialog.locator(f"[name=element_{field}]").fill(value)

    section("Data")
    fill("width", "")
    fill("query", QUERY)
    section("Model")
    fill("model_path", str(tmp_path / "m"))
    fill("function_name", "jill")
    page.screenshot(path=SCREENSHOTS / "form_model.png")
    section("Training")
    write_json(page, dialog.locator("[data-part=item][id$='item:Training']").locator(".monaco-editor").first, FIT_GROUPS)
    fill("validate_fraction", "0.4")
    page.screenshot(path=SCREENSHOTS / "form_training.png")
    section("Gate")
    fill("min_score", "90")
    dialog.locator("[name=element_min_score]").blur()
    expect(dialog.locator("[name=element_min_score]")).to_have_value("90")  # rather than the maximum, 1, without a word
    fill("min_score", "0.5")
    page.screenshot(path=SCREENSHOTS / "form_gate.png")
    section("Prediction")
    fill("output_path", str(tmp_path / "out"))
    section("Advanced Options")
    dialog.locator("[name=dagRunId]").fill("by_hand")
    page.screenshot(path=SCREENSHOTS / "form_advanced.png")
    with deployment.writing():
        dialog.get_by_test_id("trigger-dag-submit").click()
        expect(dialog).to_be_hidden()

    page.goto("about:blank")  # the page of the run asks for news all the time
    deployment.ended(DAG, "by_hand")
    conf = deployment.answer("GET", f"dags/{DAG}/dagRuns/by_hand")["conf"]
    assert (conf["fit_params"], conf["validate_fraction"], conf["min_score"]) == (FIT_GROUPS, 0.4, 0.5)
    assert (conf["width"], conf["query"]) == (None, QUERY)
    train, register, predict = (deployment.xcom(DAG, "by_hand", task) for task in ("train", "register", "predict"))
    assert (train["version"], len(train["fits"]), register["registered"]) == (1, 1, True)
    assert pq.read_table(tmp_path / "out").num_rows == predict["rows"] == 100

    page.goto(f"/dags/{DAG}/runs/by_hand/tasks/train/xcom")
    answer = page.get_by_role("row").filter(has_text="return_value").locator(".view-lines")
    expect(answer).to_be_visible()
    page.get_by_role("button", name=re.compile("^Expand all")).click()
    expect(answer).to_contain_text(re.compile(rf'"score":\s{train["score"]:g}'))
    page.screenshot(path=SCREENSHOTS / "xcom.png")

    page.goto(f"/dags/{DAG}/runs/by_hand/tasks/train")
    expect(page.get_by_text("[fit 0] mlsql_validation_score").first).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "log.png")

    page.goto(f"/dags/{DAG}/runs/by_hand/tasks/register/details")
    link = page.get_by_role("link", name="Model version")
    expect(link).to_be_visible()
    expect(page.get_by_role("link", name="Spark UI")).to_have_count(0)  # its application has ended
    page.screenshot(path=SCREENSHOTS / "task.png")
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("m, version 1")
    expect(page.get_by_text(str(tmp_path / "m"), exact=True)).to_be_visible()
    expect(page.get_by_text("alpha=0.5")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "manifest.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=SCREENSHOTS / "manifest_dark.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.get_by_role("link", name=f"{DAG}.register").click()
    expect(page.get_by_role("heading", name="register")).to_be_visible()
    page.goto(f"/mlsql/model?path={quote(str(tmp_path / 'm'), safe='')}")
    expect(page.get_by_text("jill").first).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "model.png", full_page=True)
