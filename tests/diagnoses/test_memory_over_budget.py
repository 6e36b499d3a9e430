import msgspec

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Kept, Skipped
from preflight_ocr.harness.memory.fit import judge
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from tests.specimens import altered
from tests.specimens.healthy import GIB
from tests.specimens.memory_over_budget import FORECAST, HEALTHY, SICK, SMALLER


def ask(facts):
    return [j.outcome for j in judge_all(derive(facts, only=["MEM001"]), facts)]


def foresee(**changes):
    return altered(SICK, {"memory": judge(msgspec.structs.replace(FORECAST, **changes))})


def test_the_first_change_that_brings_it_under_the_budget_is_advised(findings_of):
    [finding] = findings_of("memory_over_budget", SICK)
    assert "needs 21.0 GiB at batch size 4" in finding.summary and "16.0 GiB" in finding.summary
    assert finding.fix.instruction == "Use batch size 1, accumulated over 4 steps: 14.0 GiB."
    assert "gradient_accumulation_steps: 4" in finding.fix.snippet


def test_changes_are_combined_where_one_is_not_enough(findings_of):
    alone = msgspec.structs.replace(SMALLER, fits=False, needed=17 * GIB)
    both = msgspec.structs.replace(SMALLER, words="bfloat16, batch size 1", needed=8 * GIB)
    [finding] = findings_of("memory_over_budget", foresee(changes=(alone,), together=both))
    assert finding.fix.instruction == "Use bfloat16, batch size 1: 8.0 GiB."


def test_where_nothing_is_enough_a_larger_card_is_named(findings_of):
    [finding] = findings_of("memory_over_budget", foresee(changes=()))
    assert finding.fix.instruction.endswith("take a card with at least 21.0 GiB.")


def test_weights_that_are_over_the_budget_need_no_rehearsal(findings_of):
    facts = foresee(
        peak=None, step=None, changes=(), unknown=("the step cannot be rehearsed: TypeError: x",), budget=GIB
    )
    [finding] = findings_of("memory_over_budget", facts)
    assert finding.summary == "The weights alone take 10.0 GiB; the budget is 1.0 GiB. Nothing can be trained in it."


def test_a_step_that_could_not_be_rehearsed_is_skipped_not_passed():
    why = "the step cannot be rehearsed: TypeError: x"
    assert ask(foresee(peak=None, step=None, unknown=(why,))) == [Skipped(why)]
    assert ask(altered(SICK, {"memory": Unknown(reason="lost")})) == [Skipped("lost")]


def test_a_step_that_just_fits_is_kept_and_a_file_without_a_budget_is_not_asked(findings_of):
    assert ask(HEALTHY) == [Kept()]
    assert findings_of("memory_over_budget", altered(SICK, {"configuration.budget_bytes": None})) == ()
