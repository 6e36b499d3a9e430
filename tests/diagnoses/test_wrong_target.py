from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.wrong_target import HEALTHY, SICK


def test_a_target_that_lacks_its_beginning_is_reported_with_both_texts(findings_of):
    [finding] = findings_of("wrong_target", SICK)
    assert finding.evidence == ("row 0: trained on 'и баба<|end|>', expected 'Жили-были дед и баба'",)


def test_another_case_and_other_white_space_are_silent(findings_of):
    assert findings_of("wrong_target", HEALTHY) == ()


def test_labels_shifted_twice_are_found_by_their_place(findings_of):
    [finding] = findings_of("wrong_target", altered(RUN, {"collator.batch.rows.0.trained": "00000000000111111110"}))
    assert finding.evidence == ("row 0: the labels lie one token early; the model shifts them again",)
