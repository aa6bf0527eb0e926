"""The documentation as a site: it builds without a warning, and asks no other host for anything."""

from __future__ import annotations

import re
from pathlib import Path

from support.workbench import TESTS

ROOT = TESTS.parent


def test_each_page_of_the_documentation_is_a_page_of_the_site(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    loaded = re.compile(r'<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)="?((?:https?:)?//[^"\s>]+)')
    for page in site.rglob("*.html"):
        assert loaded.findall(page.read_text(encoding="utf-8")) == [], page
    assert (site / "assets/mermaid.min.js").stat().st_size > 1_000_000


def test_links_to_files_of_the_repository_lead_to_pages(site: Path) -> None:
    for page in {*site.rglob("*.html")} - {site / "404.html"}:  # which names pages of a server
        text = re.sub(r"<(pre|code)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r'<a [^>]*?href="?([^"\s>#]+)', text):
            assert re.match(r"https?:|mailto:", target) or (page.parent / target).exists(), (page, target)
