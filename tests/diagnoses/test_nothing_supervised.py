from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.nothing_supervised import HEALTHY, SICK


def test_rows_without_any_label_are_reported(findings_of):
    [finding] = findings_of("nothing_supervised", SICK)
    assert finding.severity is Severity.BLOCKER
    assert finding.evidence[0] == "row 0: 0 of 20 labels trained on"


def test_a_row_with_an_empty_text_is_silent(findings_of):
    assert findings_of("nothing_supervised", HEALTHY) == ()


def test_one_empty_row_of_two_is_no_blocker(findings_of):
    [finding] = findings_of("nothing_supervised", altered(RUN, {"collator.batch.rows.1.trained": "0" * 20}))
    assert finding.severity is Severity.MAJOR


def test_a_batch_without_labels_says_so(findings_of):
    [finding] = findings_of("nothing_supervised", altered(SICK, {"collator.batch.keys": ("input_ids", "images")}))
    assert finding.summary == "The batch has no `labels`."
