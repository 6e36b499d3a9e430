"""Whose page a row of a batch shows, told by whose logits hear of a page that was changed."""

from __future__ import annotations

from preflight_ocr.harness.facts import Behaviour, Facts, Unknown
from preflight_ocr.harness.foreign.text import squeeze
from preflight_ocr.harness.judging.rows import get_rows
from preflight_ocr.harness.judging.wording import known


def is_followed(facts: Facts) -> bool:
    """Whether changed pages were followed to the logits of every row that has one."""
    behaviour = _find_behaviour(facts)
    if behaviour is None or isinstance(behaviour.image_leaks, Unknown):
        return False
    return any(reaches is not None for reaches in behaviour.image_reaches)


def list_exchanged(facts: Facts) -> tuple[tuple[int, int], ...]:
    """(row, row whose page it has), where rows have exchanged their pages and each of them hears of one page only."""
    behaviour = _find_behaviour(facts)
    if behaviour is None or not is_followed(facts):
        return ()
    leaks = known(behaviour.image_leaks)
    blind = {row for row, seen in enumerate(behaviour.image_reaches) if seen is False}
    heard = {row: [source for source, other in leaks if other == row] for row in blind}
    pairs = tuple((row, sources[0]) for row, sources in sorted(heard.items()) if len(sources) == 1)
    is_exchange = len(pairs) == len(blind) == len(leaks) and {source for _, source in pairs} == blind
    return pairs if is_exchange else ()


def moved_together(facts: Facts, row: int, source: int) -> bool:
    """Whether the text of the page's row came along."""
    rows = () if isinstance(facts.collator, Unknown) else get_rows(facts.collator.batch)
    if max(row, source) >= len(rows):
        return False
    own, other = squeeze(rows[row].target_text), squeeze(rows[source].target_text)
    trained = squeeze(rows[row].supervised_text)
    return bool(other) and other in trained and (own == other or own not in trained)


def is_order(facts: Facts) -> bool:
    """Whether the collator gives whole rows in another order: each page was heard of where its text went."""
    pairs = list_exchanged(facts)
    return bool(pairs) and all(moved_together(facts, row, source) for row, source in pairs)


def _find_behaviour(facts: Facts) -> Behaviour | None:
    if isinstance(facts.forward, Unknown) or isinstance(facts.forward.behaviour, Unknown):
        return None
    return facts.forward.behaviour
