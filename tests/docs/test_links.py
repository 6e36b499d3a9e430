"""Every link in README, the other pages at the root and the documentation leads somewhere; every page can be reached.

Read from the Markdown, in a second. The strict build (`tox -e docs`) sees the same links as the site does.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.places import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
ANCHOR = re.compile(r'<a id="([\w-]+)">')
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


def strip_code(text: str) -> str:
    """The text without what a reader sees as code, where brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


@cache
def list_anchors(path: Path) -> set[str]:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    return {*ANCHOR.findall(text), *(slugify(heading) for heading in HEADING.findall(text))}


def slugify(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", re.sub(r"[`*]", "", heading)).lower()
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip())


def find_broken(path: Path, text: str, root: Path = ROOT) -> list[str]:
    """The links of a page that lead nowhere, or out of the repository."""
    broken = []
    for link in LINK.findall(strip_code(text)):
        if link.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        inside = target.is_file() and target.is_relative_to(root)
        is_theme = anchor in ("only-light", "only-dark")  # which picture is shown in which colours
        if not inside or (anchor and not is_theme and anchor not in list_anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path):
    assert find_broken(path, path.read_text(encoding="utf-8")) == []


def test_a_link_that_leads_nowhere_is_seen(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# Two words\n", encoding="utf-8")
    text = "[a](gone.md) ![b](gone.png) [c](#two-words) [d](page.md#three) `[e](code.md)` [f](https://example.org)"
    assert find_broken(page, text, tmp_path) == ["gone.md", "gone.png", "page.md#three"]


def list_navigation(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    values = entry.values() if isinstance(entry, dict) else entry
    return [page for value in values for page in list_navigation(value)]


def test_every_page_is_in_the_navigation_once_and_every_entry_is_a_page():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in PAGES if path.is_relative_to(ROOT / "docs")]
    assert sorted(list_navigation(site["nav"])) == pages


def test_a_page_that_the_site_takes_over_from_the_root_has_no_link_that_would_break_there():
    for page in PAGES:
        for name in SNIPPET.findall(page.read_text(encoding="utf-8")):
            links = LINK.findall(strip_code((ROOT / name).read_text(encoding="utf-8")))
            assert [link for link in links if not link.startswith("https://")] == []


def test_every_path_of_the_repository_that_prose_names_is_there():
    folders = "harness|probes|reports|fixtures|tests|docs"
    named = re.compile(rf"`((?:{folders})/[\w./-]*[\w/])`")
    missing = []
    for page in PAGES:
        if page.name != "CHANGELOG.md":
            for path in named.findall(page.read_text(encoding="utf-8")):
                if not (ROOT / path).exists() and not path.startswith("reports/cells"):
                    missing.append(f"{page.relative_to(ROOT)}: {path}")
    assert missing == []
