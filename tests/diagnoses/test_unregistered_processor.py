from preflight_ocr.harness.facts import Opened, Raised, Site, Unknown
from preflight_ocr.harness.judging.findings import NotApplicable, Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge_all, root_causes
from tests.specimens import altered
from tests.specimens.unregistered_processor import HEALTHY, SICK


def test_the_early_call_is_reported_with_its_line_and_what_both_calls_gave(findings_of):
    [finding] = findings_of("unregistered_processor", SICK)
    assert "LlamaTokenizerFast" in finding.summary and "PageProcessor" in finding.summary
    assert finding.evidence[0].startswith("load.py:4: processor = ")


def test_a_call_behind_the_model_is_silent(findings_of):
    assert findings_of("unregistered_processor", HEALTHY) == ()


def test_a_first_call_of_ours_that_gave_a_tokenizer_is_nobodys_fault(findings_of):
    facts = altered(HEALTHY, {"processor.returned": "tokenizer", "forward.processor_calls": ()})
    assert findings_of("unregistered_processor", facts) == ()


def test_a_model_without_a_processor_has_no_such_contract(outcome_of):
    nothing = Opened(returned="tokenizer", class_name="LlamaTokenizerFast", raised=None, site=None)
    assert isinstance(
        outcome_of("unregistered_processor", altered(SICK, {"processor.registered": nothing})), NotApplicable
    )


def test_a_configuration_that_could_not_be_imported_is_skipped_not_passed(outcome_of):
    facts = altered(SICK, {"processor.registered": Unknown(reason="the configuration raised")})
    assert outcome_of("unregistered_processor", facts) == Skipped("the configuration raised")


def test_images_handed_to_that_tokenizer_are_a_consequence():
    call = Site(file="collate.py", line=14, code="inputs = processor(images=image)", kind="call", runs=None)
    raised = Raised(type="ValueError", message="You need to specify either `text` or `text_target`.", site=call)
    facts = altered(SICK, {"processor.image_calls": (call,), "collator.batch": raised})
    [root] = root_causes(judge_all(derive(facts), facts))
    assert root.name == "unregistered_processor"
