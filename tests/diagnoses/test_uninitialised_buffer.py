from preflight_ocr.harness.facts import RoundTrip, Unknown
from preflight_ocr.harness.judging.findings import Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge_all, root_causes
from tests.specimens import altered
from tests.specimens.uninitialised_buffer import HEALTHY, LOST, SICK


def test_a_lost_buffer_is_reported_with_what_it_holds_and_what_it_should(findings_of):
    [finding] = findings_of("uninitialised_buffer", SICK)
    assert LOST.seen in finding.summary and LOST.expected in finding.summary
    compile(finding.fix.snippet, "the snippet is Python", "exec")
    assert f'"{LOST.name}"' in finding.fix.snippet


def test_an_adapter_that_gives_other_logits_at_the_next_load_is_a_consequence():
    facts = altered(
        SICK,
        {
            "learning.round_trip": RoundTrip(
                same_logits=False, differs_from_base=True, missing_keys=(), unexpected_keys=(), lost_keys=()
            )
        },
    )
    assert [root.name for root in root_causes(judge_all(derive(facts), facts))] == ["uninitialised_buffer"]


def test_a_model_whose_buffers_are_right_is_silent(findings_of):
    assert findings_of("uninitialised_buffer", HEALTHY) == ()


def test_a_model_that_was_built_and_not_loaded_is_skipped_not_passed(outcome_of):
    facts = altered(SICK, {"forward.lost_buffers": Unknown(reason="the model was built by Preflight")})
    assert outcome_of("uninitialised_buffer", facts) == Skipped("the model was built by Preflight")
