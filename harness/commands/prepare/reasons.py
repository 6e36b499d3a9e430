"""Why a row is left out, and what may be changed in one that is kept: the words in `rejected.jsonl` and `summary.json`."""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "broken_row": "the row cannot be read, or is no object",
    "broken_file": "the file cannot be read, or not from this place on",
    "unknown_file": "the file is none of the forms that are known",
    "no_picture": "the row, or the text file, has no picture",
    "several_pictures": "the row has more than one picture, or a chat that is more than one question and answer",
    "several_pages": "the picture has more than one page, and the text is for one",
    "picture_missing": "there is no such picture",
    "outside": "the file lies outside of SOURCE and of the folders of --allow",
    "web_address": "the picture is an address; nothing is fetched",
    "not_a_picture": "the picture cannot be decoded whole",
    "too_small": "the picture's shorter side is below --min-side",
    "too_large": "the picture has more pixels than --max-pixels",
    "no_region": "the line has no place on the page",
    "no_text": "the row, the picture or the page has no text",
    "two_texts": "the picture has more than one text",
    "empty_text": "the text is empty",
    "not_utf8": "the text is not UTF-8",
    "control_characters": "the text holds control characters",
    "damaged_text": "the text holds what stands for a character that was lost",
    "unwritable": "the tokenizer cannot write the text",
    "special_token": "the text holds a special token of the tokenizer",
    "no_group": "the row has nothing in the column of --group-by",
    "ended_process": "reading the row ended the process that read it",
}

CHANGES: Mapping[str, str] = {
    "composed": "text: brought into Unicode normal form NFC",
    "line_ends": "text: line ends became one newline",
    "stripped": "text: white space at its ends was taken away",
    "turned_upright": "picture: turned as its EXIF orientation says",
    "converted": "picture: another mode or format became 8-bit PNG",
    "first_picture": "picture: the first one of an animation was taken",
    "cut_out": "picture: a line was cut out of its page",
    "rendered": "picture: a PDF page was rendered",
}


class Rejection(Exception):
    """A row that is left out: one of REASONS, and a sentence on what was seen."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(said)
        self.reason, self.said = reason, said
