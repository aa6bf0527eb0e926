"""A browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from support.deployment import USER, Deployment
from support.waiting import WAIT_SECONDS

_QUIET = (  # a machine without a network, and root, who has no sandbox
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


expect.set_options(timeout=1000 * WAIT_SECONDS)


@pytest.fixture
def page(deployment: Deployment) -> Iterator[Page]:
    """A page of headless Chromium in which somebody has logged in."""
    chromium = next(filter(None, map(shutil.which, _names())), None)
    assert chromium, "there is no Chromium; on Debian: apt-get install chromium; or set CHROMIUM to the program"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_QUIET)
        page = browser.new_page(base_url=deployment.url, viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(1000 * WAIT_SECONDS)
        page.goto("/")
        page.locator("input[name=username]").fill(USER)
        page.locator("input[name=password]").fill(deployment.password)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_test_id("nav-home-link").wait_for()
        yield page
        browser.close()


def _names() -> tuple[str, ...]:
    named = os.environ.get("CHROMIUM")
    return (named,) if named else ("chromium", "chromium-browser", "google-chrome")
