"""The shell of every page: one self-contained file with one style, one script, and a policy that lets nothing else run.

Styles and scripts are files beside the templates. They are joined and put in line, and the policy in the page's head names
their sha256: no attribute, no file and no text of the user's can add to them. Every value is escaped by jinja2, after
control characters in it were made visible.
"""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from preflight_ocr.harness.home import find_version
from preflight_ocr.reports.page.text import fold_repeats, mark_code, reveal, spell_seconds


def render_page(
    template: str,
    context: Mapping[str, Any],
    *,
    styles: Sequence[str] = ("_style.css",),
    scripts: Sequence[str] = ("_filters.js",),
) -> str:
    """The page that `template` (which extends base.html.j2) makes of `context`.

    `styles` and `scripts` name files in reports/templates, joined in this order.
    """
    style, script = _join(tuple(styles)), _join(tuple(scripts))
    policy = "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            "font-src data:",
            f"style-src {_name_hash(style)}",
            f"script-src {_name_hash(script)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    written = datetime.datetime.now(datetime.UTC)
    given = {
        "written": written,
        "version": find_version(),
        **context,
        "style": Markup(style),
        "script": Markup(script),
        "policy": policy,
    }
    return _open_templates().get_template(template).render(given)


@functools.cache
def _open_templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("preflight_ocr.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=reveal,
    )
    environment.filters["mark_code"] = mark_code
    environment.filters["fold_repeats"] = fold_repeats
    environment.filters["spell_seconds"] = spell_seconds
    return environment


@functools.cache
def _join(names: tuple[str, ...]) -> str:
    """What stands between the tags, to the byte: the hash is taken over it."""
    folder = files("preflight_ocr.reports") / "templates"
    return "\n" + "\n".join((folder / name).read_text(encoding="utf-8").replace("\r\n", "\n") for name in names)


def _name_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
