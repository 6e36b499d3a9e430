from __future__ import annotations

from preflight_ocr.harness.facts import Unknown, Unwritable
from preflight_ocr.probes.batch.writing import find_unwritable


class Letters:
    """One token for each letter from a to z, a space, and one for all that is unknown."""

    unk_token, unk_token_id = "<unk>", 99

    def encode(self, text, add_special_tokens):
        return [ord(c) if (c.islower() and c.isascii()) or c == " " else self.unk_token_id for c in text]

    def decode(self, ids, skip_special_tokens):
        return "".join(chr(i) for i in ids if i != self.unk_token_id)


class Dropping(Letters):
    """The same, and what it does not know is dropped."""

    unk_token = unk_token_id = None

    def encode(self, text, add_special_tokens):
        return [ord(c) for c in text if (c.islower() and c.isascii()) or c == " "]


class Raising(Letters):
    def encode(self, text, add_special_tokens):
        raise TypeError("no text")


def test_what_becomes_the_unknown_token_is_counted_by_row():
    found = find_unwritable(Letters(), ["page", "5 e", "a 5", "x €"])
    assert found == Unwritable(characters=("5", "€"), rows=3, looked_at=4, unknown_token="<unk>")


def test_what_is_dropped_without_a_word_is_found_as_well():
    found = find_unwritable(Dropping(), ["page", "a 5"])
    assert found == Unwritable(characters=("5",), rows=1, looked_at=2, unknown_token="")


def test_texts_that_can_be_written_have_none():
    assert find_unwritable(Letters(), ["page one", "two"]) is None


def test_a_tokenizer_that_raises_says_nothing():
    assert isinstance(find_unwritable(Raising(), ["page"]), Unknown)
