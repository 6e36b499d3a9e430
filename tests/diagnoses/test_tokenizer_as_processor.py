from preflight_ocr.harness.verdict.contracts import derive, judge_all, root_causes
from tests.specimens import altered
from tests.specimens.tokenizer_as_processor import HEALTHY, SICK


def test_the_call_is_reported_and_not_the_exception_it_ends_in(findings_of):
    [finding] = findings_of("tokenizer_as_processor", SICK)
    assert "collate.py:14" in finding.evidence[0]
    [root] = root_causes(judge_all(derive(SICK), SICK))
    assert root.code == finding.code


def test_a_call_only_seen_in_the_source_counts_where_the_collator_failed(findings_of):
    assert len(findings_of("tokenizer_as_processor", altered(SICK, {"processor.image_calls": ()}))) == 1


def test_a_call_in_the_source_that_did_no_harm_is_silent(findings_of):
    assert findings_of("tokenizer_as_processor", HEALTHY) == ()
