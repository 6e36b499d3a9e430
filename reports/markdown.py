"""Markdown as text for a terminal: headings and code stand out, marks are gone, lines are wrapped."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import click
from markdown_it import MarkdownIt
from markdown_it.token import Token

_INDENT = "  "


def render(text: str, *, width: int = 100, colour: bool = False) -> str:
    """Paragraphs and list items wrapped at `width`, code blocks as they are, headings without their marks."""
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(text)
    return "\n".join(_layout(tokens, width, colour)).strip("\n")


def _layout(tokens: Sequence[Token], width: int, colour: bool) -> Iterator[str]:
    kind, marks, depth, cells = "", [], 0, []  # type: str, list[str], int, list[str]
    first = False  # of an item: its mark is still to be written
    for token in tokens:
        match token.type:
            case "heading_open" | "paragraph_open":
                kind = token.type
            case "bullet_list_open" | "ordered_list_open":
                depth += 1
                marks.append("-" if token.type.startswith("bullet") else "1")
            case "bullet_list_close" | "ordered_list_close":
                depth -= 1
                marks.pop()
                if not depth:
                    yield ""
            case "list_item_open":
                first = True
                if marks[-1] != "-":
                    marks[-1] = token.info or marks[-1]
            case "tr_open":
                cells = []
            case "tr_close":
                yield _INDENT + "  |  ".join(cells)
            case "table_close":
                yield ""
            case "th_open" | "td_open":
                kind = "cell"
            case "fence" | "code_block":
                yield from (f"{_INDENT * (depth + 2)}{line}".rstrip() for line in token.content.splitlines())
                yield ""
            case "inline" if kind == "cell":
                cells.append(_write(token))
            case "inline" if kind == "heading_open":
                title = _write(token)
                yield click.style(title, bold=True) if colour else title
            case "inline":
                indent = _INDENT * max(depth, 1)
                mark = f"{'-' if marks[-1] == '-' else marks[-1] + '.'} " if depth and first else ""
                after = " " * len(mark) if mark else "  " if depth else ""
                first = False
                yield from textwrap.wrap(
                    _write(token),
                    width,
                    initial_indent=indent + mark,
                    subsequent_indent=indent + after,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
                if not depth:
                    yield ""
            case _:
                pass


def _write(token: Token) -> str:
    """The words of a line of Markdown. Code keeps its marks: without them it would read as part of the sentence."""
    said = []
    target = ""
    for child in token.children or ():
        match child.type:
            case "code_inline":
                said.append(f"`{child.content}`")
            case "softbreak" | "hardbreak":
                said.append(" ")
            case "link_open":
                target = str(child.attrs.get("href", ""))
            case "link_close":
                said.append(f" <{target}>" if target and not said[-1].endswith(target) else "")
            case _:
                said.append(child.content)
    return "".join(said)
