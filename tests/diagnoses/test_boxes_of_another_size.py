from tests.specimens import altered
from tests.specimens.boxes_of_another_size import HEALTHY, ORIGINAL, SICK, write


def test_boxes_beyond_the_shown_page_are_named_with_both_sizes(findings_of):
    [finding] = findings_of("boxes_of_another_size", SICK)
    assert finding.summary.startswith("3 boxes lie beyond the page that the model is shown, of 3 in the targets")
    assert "on a page of 2480x3508, shown as 700x980" in finding.evidence[-1]


def test_scaled_boxes_are_silent(findings_of):
    assert findings_of("boxes_of_another_size", HEALTHY) == ()


def test_thousandths_of_a_large_page_are_silent(findings_of):
    boxes = ((48.0, 57.0, 363.0, 74.0), (734.0, 841.0, 928.0, 858.0), (40.0, 884.0, 968.0, 990.0))
    assert findings_of("boxes_of_another_size", altered(SICK, {"collator.boxes": write(boxes)})) == ()


def test_numbers_beyond_the_page_itself_are_no_boxes_on_it(findings_of):
    boxes = (*ORIGINAL, (1.0, 2.0, 4000.0, 5000.0))
    assert findings_of("boxes_of_another_size", altered(SICK, {"collator.boxes": write(boxes)})) == ()


def test_one_list_of_four_numbers_is_not_enough(findings_of):
    assert findings_of("boxes_of_another_size", altered(SICK, {"collator.boxes": write(ORIGINAL[1:2])})) == ()
