from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.doubled_module import HEALTHY, SICK


def test_a_model_registered_twice_is_reported_with_both_names(findings_of):
    [finding] = findings_of("doubled_module", SICK)
    assert "`base_model`" in finding.summary and "`model`" in finding.summary
    assert finding.evidence == ("`base_model` is `model`",)


def test_embeddings_that_the_model_ties_inside_itself_are_silent(findings_of):
    assert findings_of("doubled_module", HEALTHY) == ()


def test_the_outermost_pair_of_names_is_the_one_in_the_summary(findings_of):
    pairs = (("base_model.layers.0", "model.layers.0"), ("base_model", "model"))
    [finding] = findings_of("doubled_module", altered(SICK, {"forward.wrapper.shared_names": pairs}))
    assert "as `base_model` and as `model`" in finding.summary


def test_a_wrapper_that_the_adapter_step_makes_is_looked_at_too(findings_of):
    made = altered(SICK, {"forward.wrapper": None, "adapter.wrapper": SICK.forward.wrapper})
    [finding] = findings_of("doubled_module", made)
    assert "`base_model`" in finding.summary


def test_where_nobody_knows_what_the_adapter_step_made_the_contract_is_skipped(outcome_of):
    unseen = altered(SICK, {"forward.wrapper": None, "adapter.wrapper": Unknown(reason="the adapter step raised")})
    assert outcome_of("doubled_module", unseen) == Skipped("the adapter step raised")
