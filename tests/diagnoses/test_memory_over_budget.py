from tests.specimens import altered
from tests.specimens.healthy import GIB
from tests.specimens.memory_over_budget import HEALTHY, SICK


def test_the_first_change_that_brings_it_under_the_budget_is_advised(findings_of):
    [finding] = findings_of("memory_over_budget", SICK)
    assert "at least 21.0 GiB" in finding.summary and "16.0 GiB" in finding.summary
    assert finding.fix.instruction == "Use batch size 1 and accumulation: about 14.2 GiB."
    assert "gradient_accumulation_steps: 4" in finding.fix.snippet


def test_changes_are_combined_where_one_is_not_enough(findings_of):
    [finding] = findings_of("memory_over_budget", altered(SICK, {"configuration.budget_bytes": 9 * GIB}))
    assert finding.fix.instruction.startswith("Use bfloat16, batch size 1 and accumulation")


def test_where_nothing_is_enough_this_is_said(findings_of):
    [finding] = findings_of("memory_over_budget", altered(SICK, {"configuration.budget_bytes": 4 * GIB}))
    assert "larger card" in finding.fix.instruction


def test_a_step_that_just_fits_and_a_file_without_a_budget_are_silent(findings_of):
    assert findings_of("memory_over_budget", HEALTHY) == ()
    assert findings_of("memory_over_budget", altered(SICK, {"configuration.budget_bytes": None})) == ()
