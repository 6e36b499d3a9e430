from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.unknown_characters import HEALTHY, SICK


def test_characters_without_a_token_are_named_with_their_rows(findings_of):
    [finding] = findings_of("unknown_characters", SICK)
    assert "no token for € №: in 5 of 64 training texts they become <unk>" in finding.summary
    assert finding.evidence == ("€ (U+20AC)", "№ (U+2116)")


def test_texts_that_can_be_written_are_silent(findings_of):
    assert findings_of("unknown_characters", HEALTHY) == ()


def test_texts_that_could_not_be_encoded_are_skipped_not_passed(outcome_of):
    facts = altered(SICK, {"collator.unwritable": Unknown(reason="encode raised")})
    assert outcome_of("unknown_characters", facts) == Skipped("encode raised")
