import pytest

from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.shifted_mask import SICK


def test_a_mask_padded_on_the_other_side_is_named_as_that(findings_of):
    [finding] = findings_of("shifted_mask", SICK)
    assert finding.evidence[0] == "row 1: the mask is padded on the other side than input_ids"
    assert finding.evidence[-2:] == ("tokens ....biiiiiiippppttte", "mask   01111111000000000000")


def test_a_mask_of_one_column_belongs_to_another_diagnosis(findings_of):
    assert findings_of("shifted_mask", altered(RUN, {"collator.batch.rows.0.marked": "1"})) == ()


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ("0" * 20, "the mask is all False, 7 placeholders are unmarked"),
        ("1" * 20, "the mask is all True, 13 other tokens are marked"),
        ("00111111100000000000", "the mask is shifted by 1 to the right"),
        ("01111110000000000000", "1 placeholders are not marked and 0 other tokens are"),
        ("0111111100", "the mask has 10 positions for 20 tokens"),
    ],
)
def test_each_kind_of_mistake_is_called_by_its_name(findings_of, mask, said):
    [finding] = findings_of("shifted_mask", altered(RUN, {"collator.batch.rows.0.marked": mask}))
    assert finding.evidence[0] == f"row 0: {said}"
