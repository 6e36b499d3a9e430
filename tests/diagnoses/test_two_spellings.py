import unicodedata

from preflight_ocr.probes.reading.spelling import SpellingReader
from tests.specimens import altered
from tests.specimens.two_spellings import HEALTHY, SICK


def read(*texts):
    reader = SpellingReader()
    for number, text in enumerate(texts):
        reader.look(f"row {number}", text)
    return reader.finish()


def test_a_letter_that_is_spelled_in_two_ways_is_named(findings_of):
    [finding] = findings_of("two_spellings", SICK)
    assert finding.summary.startswith("1 letter is one character in some texts")


def test_presentation_forms_are_a_finding_of_their_own(findings_of):
    facts = altered(HEALTHY, {"dataset.spellings.shaped_rows": 2, "dataset.spellings.shaped": ("row 0", "row 1")})
    [finding] = findings_of("two_spellings", facts)
    assert "2 texts hold Arabic presentation forms" in finding.summary


def test_one_spelling_is_silent(findings_of):
    assert findings_of("two_spellings", HEALTHY) == ()


def test_composed_and_decomposed_letters_are_told_only_where_both_stand():
    composed, apart = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    assert read(composed, apart).both_ways == ("\u00e9: one character in row 0, 2 in row 1",)
    assert read(composed, "plain").letters == read(apart, "cafe").letters == 0


def test_scripts_whose_letters_always_stand_apart_are_one_spelling():
    assert read("\u0915\u093c\u0940\u092e\u0924", "\u05e9\u05c1\u05dc\u05d5\u05dd", "\ud55c\uad6d\uc5b4").letters == 0


def test_letters_are_no_presentation_forms_and_a_byte_order_mark_is_none():
    assert read("\u0633\u0644\u0627\u0645 \u2018a\u2019", "\ufeffa").shaped_rows == 0
    assert read("\ufeb3\ufefc\ufee1").shaped_rows == 1
