"""The explanations behind findings, from the diagnoses' docstrings, as parts of the page."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator

import msgspec
from markupsafe import Markup

from preflight_ocr.harness.diagnoses import find


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One diagnosis' page. `html` is made from Markdown with all markup in it escaped; `anchor` is its id."""

    code: str
    name: str
    severity: str
    contract: str
    anchor: str
    html: Markup


def explain(codes: Iterable[str]) -> Iterator[Explanation]:
    """Each code once, in order; a code that the catalogue does not have is passed over."""
    from markdown_it import MarkdownIt

    # Raw HTML is shown as text. A link is only followed by whoever clicks it; the page's policy lets nothing be loaded.
    markdown = MarkdownIt("commonmark", {"html": False}).disable("image")
    for code in dict.fromkeys(codes):
        module = find(code)
        if module is None:
            continue
        diagnosis = module.DIAGNOSIS
        text = _demote(inspect.cleandoc(module.__doc__ or ""))
        yield Explanation(
            code=diagnosis.code,
            name=diagnosis.name,
            severity=diagnosis.severity.value,
            contract=diagnosis.contract,
            anchor=f"explain-{diagnosis.code.lower()}",
            html=Markup(markdown.render(text)),
        )


def _demote(text: str) -> str:
    """Headings one level deeper; a comment in a code block is no heading."""
    fenced, lines = False, []
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not fenced else line)
    return "\n".join(lines)
