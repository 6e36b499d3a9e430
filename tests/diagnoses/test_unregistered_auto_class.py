from tests.specimens import altered
from tests.specimens.unregistered_auto_class import HEALTHY, SICK


def test_an_unregistered_class_is_reported_with_the_registered_one(findings_of):
    [finding] = findings_of("unregistered_auto_class", SICK)
    assert "registers only AutoModel" in finding.summary
    assert "AutoModel.from_pretrained" in finding.fix.snippet
    assert any("load.py:5" in line for line in finding.evidence)


def test_a_class_that_is_also_gone_from_transformers_is_one_finding_not_two(findings_of):
    both = altered(
        SICK,
        {
            "subject.absent_names": SICK.subject.auto_classes,
            "subject.absent_names.0.name": "transformers.AutoModelForVision2Seq",
        },
    )
    [finding] = findings_of("unregistered_auto_class", both)
    assert "AutoModelForVision2Seq does not exist in the installed transformers either" in finding.evidence
    assert findings_of("removed_api", both) == ()


def test_a_tokenizer_class_needs_no_registration(findings_of):
    assert findings_of("unregistered_auto_class", HEALTHY) == ()


def test_transformers_own_configuration_class_leaves_the_choice_open(findings_of):
    native = altered(SICK, {"repository.auto_map": {"AutoModel": "modeling.Model"}})
    assert findings_of("unregistered_auto_class", native) == ()
