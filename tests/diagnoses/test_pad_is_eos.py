from preflight_ocr.harness.facts import Token
from tests.specimens import altered
from tests.specimens.pad_is_eos import SICK


def test_ends_masked_along_with_the_padding_are_reported(findings_of):
    [finding] = findings_of("pad_is_eos", SICK)
    assert "2 of 2 rows" in finding.summary
    assert "attention_mask" in finding.fix.snippet


def test_ends_left_out_for_another_reason_are_not_blamed_on_the_padding(findings_of):
    assert findings_of("pad_is_eos", altered(SICK, {"tokenizer.pad": Token(content="<|pad|>", id=2)})) == ()
