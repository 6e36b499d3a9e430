from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.untrusted_remote_code import HEALTHY, SICK


def test_remote_code_without_trust_is_reported_with_its_files(findings_of):
    [finding] = findings_of("untrusted_remote_code", SICK)
    assert "modeling_deepseekocr.py" in finding.evidence[0]
    assert "trust_remote_code: true" in finding.fix.snippet


def test_a_model_without_code_needs_no_trust(findings_of):
    assert findings_of("untrusted_remote_code", HEALTHY) == ()


def test_code_that_was_run_had_been_trusted_on_the_command_line(findings_of):
    facts = altered(RUN, {"configuration.trust_remote_code": False})
    assert findings_of("untrusted_remote_code", facts) == ()


def test_parts_of_the_users_own_need_trust_as_well(findings_of):
    facts = altered(SICK, {"repository.has_remote_code": False, "configuration.replaced_parts": ("collator",)})
    [finding] = findings_of("untrusted_remote_code", facts)
    assert "your own collator" in finding.summary
