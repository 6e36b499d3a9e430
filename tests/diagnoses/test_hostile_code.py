from preflight_ocr.harness.facts import NOT_RUN, Unknown
from preflight_ocr.harness.judging.findings import Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge
from tests.specimens import altered
from tests.specimens.hostile_code import HEALTHY, SICK


def test_one_death_that_left_two_sections_unknown_is_one_finding(findings_of):
    [finding] = findings_of("hostile_code", SICK)
    assert "SIGSEGV" in finding.summary
    assert finding.evidence[1:] == ("left unknown: forward", "left unknown: learning")


def test_a_death_deep_inside_a_section_is_found_too(findings_of):
    unknown = Unknown(reason="foreign code died: out of memory at 4 GB", cause="foreign code died")
    [finding] = findings_of("hostile_code", altered(HEALTHY, {"learning.round_trip": unknown}))
    assert "left unknown: learning.round_trip" in finding.evidence


def test_where_nothing_was_run_the_contract_is_skipped_not_kept():
    sections = ("processor", "collator", "forward", "adapter", "learning", "memory")
    facts = altered(HEALTHY, dict.fromkeys(sections, NOT_RUN))
    [contract] = derive(facts, only=["hostile_code"])
    assert judge(contract, facts) == Skipped("no foreign code was run: not run")
