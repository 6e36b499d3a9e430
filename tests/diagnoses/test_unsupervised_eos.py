import pytest

from preflight_ocr.harness.judging.findings import Broken, NotApplicable
from preflight_ocr.harness.verdict.contracts import derive, judge_all, root_causes
from tests.specimens import altered
from tests.specimens.unsupervised_eos import HEALTHY, SICK


def test_an_eos_without_a_label_is_reported_by_its_name(findings_of):
    [finding] = findings_of("unsupervised_eos", SICK)
    assert "`<|end|>`" in finding.summary
    assert finding.evidence == ("row 0: the EOS is there, its label is -100",)


def test_a_model_whose_targets_end_otherwise_is_silent(findings_of):
    assert findings_of("unsupervised_eos", HEALTHY) == ()


CUT = {"collator.batch.rows.0.roles": "biiiiiiipppptttttttt", "collator.batch.rows.0.truncated": True}


def test_targets_that_end_otherwise_make_the_contract_inapplicable_and_not_kept(outcome_of):
    assert isinstance(outcome_of("unsupervised_eos", HEALTHY), NotApplicable)


@pytest.mark.parametrize(
    ("changes", "owner"),
    [
        (CUT, "DAT009"),
        ({"collator.batch.rows.0.trained": "0" * 20}, "LBL005"),
        ({"collator.batch.rows.0.trained": "00000000000111111110"}, "LBL007"),
    ],
)
def test_an_end_that_is_missing_for_another_cause_is_broken_and_explained_by_it(changes, owner):
    judged = judge_all(derive(altered(SICK, changes)), altered(SICK, changes))
    [mine] = [j.outcome for j in judged if j.contract.diagnosis.name == "unsupervised_eos"]
    assert isinstance(mine, Broken) and owner in mine.explained_by
    assert "LBL006" not in {finding.code for finding in root_causes(judged)}


def test_a_row_without_an_end_that_fills_the_length_is_skipped_not_kept(outcome_of):
    changes = {"collator.batch.rows.0.roles": "biiiiiiipppptttttttt", "configuration.max_seq_length": 20}
    assert "fills max_seq_length (20)" in outcome_of("unsupervised_eos", altered(SICK, changes)).reason
