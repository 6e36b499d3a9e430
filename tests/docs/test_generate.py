from __future__ import annotations

import re

import pytest

from docs import generate as catalogue_docs
from preflight_ocr.harness.diagnoses import catalogue


def test_the_committed_documents_are_current():
    outdated = [path.name for path in catalogue_docs.find_outdated()]
    assert not outdated, "run python -m docs.generate and commit what it writes"


def test_every_finding_links_to_an_anchor_that_exists():
    anchors = set(re.findall(r'<a id="(\w+)"></a>', catalogue_docs.render_catalogue()))
    for module in catalogue():
        docs = module.DIAGNOSIS.finding("seen", fix="fix").docs
        assert docs == f"docs/diagnoses.md#{module.DIAGNOSIS.code.lower()}"
        assert docs.partition("#")[2] in anchors


def test_every_local_link_has_its_anchor():
    page = catalogue_docs.render_catalogue()
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= set(re.findall(r'<a id="(\w+)">', page))


def test_a_comment_in_a_code_block_is_no_heading():
    lines = ["## Example", "```python", "# a comment", "```", "## Use instead"]
    demoted = list(catalogue_docs._demote_headings(lines))
    assert demoted == ["### Example", "```python", "# a comment", "```", "### Use instead"]


def test_blocks_are_filled_and_the_rest_is_left_alone():
    text = "before\n<!-- generated: exit-codes -->\nold\n<!-- end generated -->\nafter\n"
    filled = catalogue_docs.fill_blocks(text)
    assert filled.startswith("before\n<!-- generated: exit-codes -->\n| code | meaning |")
    assert filled.endswith("<!-- end generated -->\nafter\n")
    assert "old" not in filled
    assert catalogue_docs.fill_blocks(filled) == filled


def test_a_measured_block_keeps_what_was_measured():
    text = "<!-- generated: learning -->\nCER 0.9 -> 0.4\n<!-- end generated -->\n"
    assert catalogue_docs.fill_blocks(text) == text


def test_a_block_nobody_generates_is_an_error():
    with pytest.raises(ValueError, match="known are diagnoses"):
        catalogue_docs.fill_blocks("<!-- generated: nonsense -->\n<!-- end generated -->")


def test_a_cell_cannot_break_its_table():
    assert catalogue_docs._join_cells("a|b", "c\nd") == r"| a\|b | c d |"
    assert catalogue_docs._join_cells("**kwargs <b>", "`training.*`") == r"| \*\*kwargs &lt;b> | `training.*` |"
