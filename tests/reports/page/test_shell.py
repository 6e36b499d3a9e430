from __future__ import annotations

import pytest

from preflight_ocr.reports.page import explanations, shell


def test_the_policy_names_what_is_in_the_page_and_nothing_else(monkeypatch):
    page = shell.render_page("base.html.j2", {})
    assert "default-src 'none'; img-src data:; font-src data:; style-src 'sha256-" in page.replace("&#39;", "'")
    assert "unsafe" not in page.partition("</head>")[0].partition("<style>")[0]


def test_styles_and_scripts_never_end_their_own_element():
    for name in ("_style.css", "_report.css", "_filters.js"):
        text = shell._join((name,))
        assert "</" not in text
        assert "<!--" not in text


def test_an_explanation_is_the_docstring_with_its_markup_escaped():
    (page,) = explanations.explain(["COL001", "COL001", "NOPE1"])
    assert page.anchor == "explain-col001"
    assert "<h3>Why it matters</h3>" in page.html
    assert "<code>input_ids</code>" in page.html


def test_html_in_a_docstring_is_text(monkeypatch):
    (first,) = explanations.explain(["COL001"])
    module = explanations.find("COL001")
    monkeypatch.setattr(module, "__doc__", "## A\n<script>x</script> ![p](http://h/p.png) [go](javascript:x)")
    (page,) = explanations.explain(["COL001"])
    assert first.html != page.html
    assert "<script" not in page.html
    assert "<img" not in page.html
    assert "javascript:x)" in page.html
    assert 'href="javascript' not in page.html


@pytest.mark.parametrize("text", ["```python\n# a comment\n```"])
def test_a_comment_in_a_code_block_is_no_heading(monkeypatch, text):
    monkeypatch.setattr(explanations.find("COL001"), "__doc__", text)
    (page,) = explanations.explain(["COL001"])
    assert "<h" not in page.html
    assert "# a comment" in page.html
