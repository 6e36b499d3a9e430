"""Two spellings of one text: letters that look the same and are other characters."""

from __future__ import annotations

import unicodedata

from preflight_ocr.harness.facts import Spellings

MOST_NAMED = 20
PRESENTATION = frozenset(
    chr(code)
    for code in (*range(0xFB50, 0xFDFE), *range(0xFE70, 0xFEFD))
    if unicodedata.decomposition(chr(code)).startswith(("<initial>", "<medial>", "<final>", "<isolated>"))
)
"""Arabic letters and ligatures in the form that they have at one place of a word."""


class SpellingReader:
    """Looks at texts one by one."""

    def __init__(self) -> None:
        self._composed: dict[str, str] = {}
        self._decomposed: dict[str, str] = {}
        self._shaped: list[str] = []
        self._shaped_rows = 0

    def look(self, name: str, text: str) -> None:
        """Take in the text of the row called `name`."""
        if text.isascii():
            return
        letters = set(text)
        if letters & PRESENTATION:
            self._shaped_rows += 1
            self._shaped += [name] if len(self._shaped) < MOST_NAMED else []
        for letter in letters:
            if unicodedata.is_normalized("NFC", letter) and not unicodedata.is_normalized("NFD", letter):
                self._composed.setdefault(letter, name)
        if not unicodedata.is_normalized("NFC", text):
            for letter in set(unicodedata.normalize("NFC", text)) - letters:
                if unicodedata.normalize("NFD", letter) in text:
                    self._decomposed.setdefault(letter, name)

    def finish(self) -> Spellings:
        """What all texts together have."""
        both = sorted(self._composed.keys() & self._decomposed.keys())
        return Spellings(
            shaped=tuple(self._shaped),
            shaped_rows=self._shaped_rows,
            letters=len(both),
            both_ways=tuple(
                f"{letter}: one character in {self._composed[letter]}, {len(unicodedata.normalize('NFD', letter))} in "
                f"{self._decomposed[letter]}"
                for letter in both[:MOST_NAMED]
            ),
        )
