from tests.specimens import altered
from tests.specimens.unsupervised_eos import HEALTHY, SICK


def test_an_eos_without_a_label_is_reported_by_its_name(findings_of):
    [finding] = findings_of("unsupervised_eos", SICK)
    assert "`<|end|>`" in finding.summary
    assert finding.evidence == ("row 0: the EOS is there, its label is -100",)


def test_a_model_whose_targets_end_otherwise_is_silent(findings_of):
    assert findings_of("unsupervised_eos", HEALTHY) == ()


def test_a_target_that_was_cut_has_no_end_to_learn(findings_of):
    changes = {"collator.batch.rows.0.roles": "biiiiiiipppptttttttt", "collator.batch.rows.0.truncated": True}
    assert findings_of("unsupervised_eos", altered(SICK, changes)) == ()
