from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.copied_labels import HEALTHY, SICK


def test_a_copy_of_input_ids_is_reported_with_what_is_trained_on(findings_of):
    [finding] = findings_of("copied_labels", SICK)
    assert "40 labels, of which 12 belong to the target" in finding.summary
    assert finding.evidence[1] == "row 1: trained on 5 prompt, 7 image, 4 padding and 4 target tokens"


def test_a_batch_of_pure_text_is_silent(findings_of):
    assert findings_of("copied_labels", HEALTHY) == ()


def test_a_copy_whose_padding_is_masked_is_still_a_copy(findings_of):
    changes = {"collator.batch.rows.0.trained": "1" * 20, "collator.batch.rows.1.trained": "0000" + "1" * 16}
    assert len(findings_of("copied_labels", altered(RUN, changes))) == 1
