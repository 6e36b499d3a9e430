from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.failing_forward import SICK


def test_a_forward_that_fails_on_our_own_batch_is_quoted_with_its_line(findings_of):
    [finding] = findings_of("failing_forward", SICK)
    assert "'position_embeddings'" in finding.summary
    assert "modeling_deepseekv2.py:880" in finding.summary


def test_a_forward_that_fails_on_the_users_batch_only_is_silent(findings_of):
    users = altered(RUN, {"forward.given": Raised(type="ValueError", message="no", site=None)})
    assert findings_of("failing_forward", users) == ()


def test_without_a_reference_batch_a_forward_that_ran_is_skipped_not_passed(outcome_of):
    undeclared = altered(RUN, {"forward.reference": Unknown(reason="no family declares this model")})
    assert outcome_of("failing_forward", undeclared) == Skipped("no family declares this model")


def test_without_a_reference_batch_the_failure_of_the_users_batch_is_quoted(findings_of):
    changes = {
        "forward.reference": Unknown(reason="-"),
        "forward.given": Raised(type="ValueError", message="no", site=None),
    }
    [finding] = findings_of("failing_forward", altered(RUN, changes))
    assert "ValueError: no" in finding.summary
