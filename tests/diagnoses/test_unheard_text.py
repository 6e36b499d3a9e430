from tests.specimens import HEALTHY as RUN
from tests.specimens.unheard_text import SICK


def test_a_row_whose_text_changes_nothing_is_named(findings_of):
    [finding] = findings_of("unheard_text", SICK)
    assert finding.evidence == ("row 1: the text does not reach the logits",)


def test_text_that_changes_the_logits_is_silent(findings_of):
    assert findings_of("unheard_text", RUN) == ()
