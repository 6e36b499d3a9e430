from preflight_ocr.harness.facts import KeyFact
from tests.specimens import HEALTHY, altered
from tests.specimens.refused_value import SICK


def test_a_misspelt_value_is_reported_with_what_was_meant(findings_of):
    [finding] = findings_of("refused_value", SICK)
    assert finding.fix.snippet == "training:\n  lr_scheduler_type: cosine"


def test_two_kinds_of_precision_are_told_apart_by_their_advice(findings_of):
    both = altered(
        HEALTHY, {"configuration.refused_values": (KeyFact(path="training.fp16", nearest=None, detail="both"),)}
    )
    [finding] = findings_of("refused_value", both)
    assert "bf16 where the card has it" in finding.fix.instruction
