from preflight_ocr.harness.facts import Raised, Site, Unmoved
from preflight_ocr.harness.judging.findings import Severity, Skipped
from tests.specimens import altered
from tests.specimens.unmoved_entry import HEALTHY, SICK


def test_the_entry_is_named_with_its_shape_its_holder_and_the_line_that_needs_it(findings_of):
    [finding] = findings_of("unmoved_entry", SICK)
    assert "images[0].pixels, float32 [1, 3, 64, 64], and 1 more" in finding.summary
    assert "pages.Page" in finding.summary
    assert "modeling_deepseekocr.py:71" in finding.evidence[-1]
    assert finding.severity is Severity.BLOCKER
    assert "def to(self" in finding.fix.snippet


def test_an_entry_that_meets_nothing_on_the_card_is_only_fragile(findings_of):
    [finding] = findings_of("unmoved_entry", altered(SICK, {"forward.placement.clashes": ()}))
    assert finding.severity is Severity.MINOR


def test_an_entry_at_which_trainer_raises_is_reported_with_the_exception(findings_of):
    raised = Raised(type="TypeError", message="__new__() missing 1 required positional argument: 'crops'", site=None)
    entry = Unmoved(path="images", holder="pages.Views", raised=raised, shape=(), dtype="")
    [finding] = findings_of("unmoved_entry", altered(HEALTHY, {"forward.placement.unmoved": (entry,)}))
    assert "missing 1 required positional argument" in finding.summary
    assert finding.severity is Severity.BLOCKER


def test_each_argument_is_a_finding_of_its_own(findings_of):
    other = Unmoved(path="masks.ours", holder="pages.Masks", shape=(2,), dtype="bool", raised=None)
    entries = (*SICK.forward.placement.unmoved, other)
    found = findings_of("unmoved_entry", altered(SICK, {"forward.placement.unmoved": entries}))
    assert [f.severity for f in found] == [Severity.BLOCKER, Severity.MINOR]


def test_a_run_that_stays_on_the_cpu_is_told_that_it_is_fragile(findings_of):
    [finding] = findings_of("unmoved_entry", altered(SICK, {"configuration.use_cpu": True}))
    assert finding.severity is Severity.MINOR


def test_a_trainer_of_the_users_that_may_move_it_by_itself_leaves_it_undecided(outcome_of):
    moves = (
        Site(
            file="train.py",
            line=9,
            code="inputs = {k: v.to(self.args.device) for k, v in inputs.items()}",
            kind="",
            runs=None,
        ),
    )
    outcome = outcome_of("unmoved_entry", altered(SICK, {"subject.training_moves": moves}))
    assert isinstance(outcome, Skipped) and "train.py:9" in outcome.reason
