from preflight_ocr.harness.facts import ChatTemplate, Site
from preflight_ocr.harness.judging.findings import NotApplicable
from preflight_ocr.harness.verdict.contracts import derive, judge_all, root_causes
from tests.specimens import altered
from tests.specimens.conflicting_chat_templates import FOR_PARTS, FOR_TEXT, HEALTHY, SICK

JOINED = Site(file="collate.py", line=9, code='prompt = "Read: " + row["words"]', kind="", runs=None)


def test_the_template_for_text_is_told_from_the_one_for_pictures(findings_of):
    [finding] = findings_of("conflicting_chat_templates", SICK)
    assert "in chat_template.json" in finding.summary
    assert "tokenizer_config.json: takes text only" in finding.evidence
    assert "collate.py:21" in finding.evidence[0]


def test_the_collators_exception_is_a_consequence():
    [root] = root_causes(judge_all(derive(SICK), SICK))
    assert root.name == "conflicting_chat_templates"
    assert root.consequences


def test_two_templates_that_nobody_stumbles_over_are_silent(findings_of):
    assert findings_of("conflicting_chat_templates", HEALTHY) == ()


def test_a_list_joined_to_text_elsewhere_is_another_failure(findings_of):
    facts = altered(SICK, {"collator.batch.site": JOINED})
    assert findings_of("conflicting_chat_templates", facts) == ()


def test_one_template_in_two_files_has_no_such_contract(outcome_of):
    copy = ChatTemplate(place="chat_template.jinja", sha256=FOR_TEXT.sha256, walks_parts=False)
    facts = altered(SICK, {"tokenizer.chat_templates": (FOR_TEXT, copy)})
    assert isinstance(outcome_of("conflicting_chat_templates", facts), NotApplicable)


def test_two_templates_for_pictures_do_not_explain_it(findings_of):
    other = ChatTemplate(place="tokenizer_config.json", sha256="3" * 64, walks_parts=True)
    facts = altered(SICK, {"tokenizer.chat_templates": (other, FOR_PARTS)})
    assert findings_of("conflicting_chat_templates", facts) == ()


def test_a_template_that_prints_the_list_raises_nothing_and_is_found_in_the_prompt(findings_of):
    spelled = "User: [{'type': 'image'}, {'type': 'text', 'text': 'Free OCR.'}]"
    [finding] = findings_of(
        "conflicting_chat_templates", altered(HEALTHY, {"collator.batch.rows.1.prompt_text": spelled})
    )
    assert finding.evidence[0] == "row 1: the prompt spells out the list of parts"
