from tests.specimens import altered
from tests.specimens.quantised_vision import HEALTHY, SICK


def test_a_packed_tower_is_named_with_its_layers(findings_of):
    [finding] = findings_of("quantised_vision", SICK)
    assert "8 of the 8 linear layers in the vision tower are packed as nf4" in finding.summary
    assert finding.fix.snippet == "llm_int8_skip_modules: [model.visual.blocks, lm_head]"


def test_a_tower_that_was_left_alone_is_silent(findings_of):
    assert findings_of("quantised_vision", HEALTHY) == ()


def test_a_packed_projector_alone_is_silent(findings_of):
    assert findings_of("quantised_vision", altered(HEALTHY, {"adapter.quantised.parts": {"projector": 2}})) == ()
