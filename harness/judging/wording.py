"""What diagnoses share when they word a finding: known values, places in source, a few rows out of many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from preflight_ocr.harness.facts import Dataset, Raised, Site, Unknown

T = TypeVar("T")


def known(value: T | Unknown | Raised) -> T:
    """The value, where a diagnosis' `needs` have made sure that there is one. Raises LookupError otherwise."""
    if isinstance(value, Unknown):
        raise LookupError(value.reason)
    if isinstance(value, Raised):
        raise LookupError(f"{value.type}: {value.message}")
    return value


def name_image_token(placeholder: str | None) -> str:
    """The line that says which id `image_token_id` is, for a snippet that uses it; "" where the token has no text."""
    return "" if placeholder is None else f'image_token_id = tokenizer.convert_tokens_to_ids("{placeholder}")\n'


def spell_bytes(count: int) -> str:
    """A size as people read it: `512 B`, `3.4 MiB`, `12.6 GiB`."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def count(number: int, one: str, many: str = "") -> str:
    """`1 row`, `2 rows`; `many` where the plural is not the singular with an s, or a verb follows."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def count_part(part: int, whole: int, one: str, many: str) -> str:
    """`1 of 2 rows has`, `2 of 2 rows have`: the verb goes with the part."""
    return f"{part} of {count(whole, 'row')} {one if part == 1 else many}"


def show_some(lines: Iterable[str], limit: int = 5) -> tuple[str, ...]:
    """The first few lines and, if there are more, how many more."""
    lines = tuple(dict.fromkeys(lines))
    rest = len(lines) - limit
    return lines if rest <= 0 else (*lines[:limit], f"and {rest} more")


def show_site(site: Site) -> str:
    """`file:line: code`."""
    return f"{site.file}:{site.line}: {site.code}"


def show_rows(dataset: Dataset, *kinds: str) -> tuple[str, ...]:
    """One line for each row whose problem is one of `kinds`: `train row 7: pages/7.png (truncated image: detail)`."""
    return tuple(
        f"{p.split} row {p.row}: {p.image or 'no image'} ({p.kind}{': ' if p.detail else ''}{p.detail})"
        for p in dataset.problems
        if p.kind in kinds
    )


def list_places(*seen: object) -> tuple[Site, ...]:
    """The lines of source among what was seen, each once: sites, and where an exception was raised."""
    sites = (item.site if isinstance(item, Raised) else item for item in seen)
    return tuple(dict.fromkeys(site for site in sites if isinstance(site, Site) and site.line > 0))
