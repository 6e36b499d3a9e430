from tests.specimens.unheeded_skip import HEALTHY, SICK


def test_an_entry_that_keeps_nothing_is_named(findings_of):
    [finding] = findings_of("unheeded_skip", SICK)
    assert finding.summary.startswith("The skip list names `visual`, and layers under that name are packed as nf4")
    assert finding.fix.snippet == "llm_int8_skip_modules: [model.visual, lm_head]"


def test_a_list_that_is_followed_is_silent(findings_of):
    assert findings_of("unheeded_skip", HEALTHY) == ()
