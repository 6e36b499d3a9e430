import torch

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


def test_the_labels_of_lbl001_are_right_under_left_padding(findings_of):
    [finding] = findings_of("copied_labels", SICK)
    input_ids = torch.tensor([[9, 9, 1, 5, 6], [1, 2, 3, 5, 6]])
    names = {
        "input_ids": input_ids,
        "attention_mask": torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]),
        "target_starts": [3, 3],
    }
    exec(finding.fix.snippet, names)
    assert names["labels"].tolist() == [[-100, -100, -100, 5, 6]] * 2
